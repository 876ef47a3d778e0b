"""Pairs of training images and reconstructions from their measurements, of which regularisers learn.

The measurements A x and the reconstructions B A x of all images are computed once, without noise, and mapped from the disk.
As the reconstruction B is linear, that of  A x + noise  is  B A x + B noise, with noise that is drawn in every step.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpn.augmentations.crops import Crops
from lpn.errors import UserError
from lpn.files import atomic_path, checksum, read_array, write_json
from lpn.images import load_images, to_tensor
from lpn.losses import Pair
from lpn.operators import LinearOperator, OperatorSettings, build_operator
from lpn.seeds import numpy_generator, torch_generator
from lpn.training.batches import random_order
from lpn.training.settings import Pairs, TrainingSettings
from lpn.training.shard import WHOLE, Shard

SPLITS = ("train", "validation")
ARRAYS = ("y", "start")
AT_ONCE = 8  # images in memory


def write_pairs(data: Path, settings: OperatorSettings, seed: int, output: Path) -> None:
    """Write the measurements and reconstructions of the training and validation images of a prepared data set.

    `output`/SPLIT_y.npy has the measurements A x, float32 (n, *output_shape), SPLIT_start.npy the reconstructions from them
    (`operator.initial`), float32 (n, C, H, W); pairs.json says of which operator and which images.

    Raises ValueError if the operator does not fit the images, or its reconstructions are not linear, and UserError if the
    images can't be read.
    """
    operator = build_operator(settings, load_images(data / "train.npy").shape[1:], seed)
    _check_linear(operator)
    for split in SPLITS:
        images = read_array(data / f"{split}.npy", mmap_mode="r")
        y, start = (output / f"{split}_{name}.npy" for name in ARRAYS)
        with atomic_path(y, ".npy") as measured, atomic_path(start, ".npy") as made:
            _write(images, operator, measured, made)
    made_of = {"operator": settings.model_dump(mode="json"), "seed": seed}
    write_json(output / "pairs.json", made_of | {split: checksum(data / f"{split}.npy") for split in SPLITS})


def _check_linear(operator: LinearOperator) -> None:
    """Raise ValueError unless reconstructions of sums of measurements are sums of reconstructions."""
    y = torch.randn(3, *operator.output_shape, generator=torch_generator(0, "linear"))
    y[2] = y[0] + y[1]
    x = operator.initial(y)
    if not (x[2] - x[0] - x[1]).norm() <= 1e-3 * x[2].norm():
        raise ValueError("its reconstructions are not linear in the measurements, so pairs can't be made by it")


def _write(images: np.ndarray, operator: LinearOperator, y: Path, start: Path) -> None:
    """Write the arrays of one split, image after image: not by memory maps, with which a full disk kills the process."""
    from tqdm import tqdm

    with y.open("wb") as measured, start.open("wb") as made:
        for file, shape in ((measured, operator.output_shape), (made, operator.input_shape)):
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(images), *shape)}
            np.lib.format.write_array_header_1_0(file, header)
        for first in tqdm(range(0, len(images), AT_ONCE), unit=f"{AT_ONCE} images"):
            clean = operator(to_tensor(images[first : first + AT_ONCE]))
            measured.write(clean.numpy().astype("<f4").tobytes())
            made.write(operator.initial(clean).numpy().astype("<f4").tobytes())


def read_pairs(folder: Path, split: str, image_file: Path, settings: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Return the measurements and the reconstructions of a split, mapped from the disk, see `write_pairs`.

    Raises UserError, naming both, if they are of other images, or of another operator.
    """
    remedy = "Make the pairs anew by scripts/make_pairs.py."
    try:
        made_of = json.loads((folder / "pairs.json").read_text(encoding="utf-8"))
        arrays = [read_array(folder / f"{split}_{name}.npy", mmap_mode="r") for name in ARRAYS]
    except (OSError, ValueError) as error:
        raise UserError(f"the pairs in {folder} can't be read ({error}). {remedy}") from error
    wanted = {"operator": settings.operator.model_dump(mode="json"), "seed": settings.seed}
    found = {key: made_of.get(key) for key in wanted}
    if found != wanted:
        raise UserError(f"the pairs in {folder} are of {found}, but the training is of {wanted}. Give it the pairs of its "
                        "operator, or make them by scripts/make_pairs.py.")  # fmt: skip
    y, start = arrays
    images = load_images(image_file)
    if start.shape != images.shape or len(y) != len(images):
        raise UserError(f"{folder}/{split}_start.npy has reconstructions of shape {start.shape}, and {split}_y.npy the "
                        f"measurements of {len(y)} images, but the images {image_file} have the shape {images.shape}. "
                        f"{remedy}")  # fmt: skip
    if made_of.get(split) != checksum(image_file):
        raise UserError(f"the pairs in {folder} are of other images than {image_file}. {remedy}")
    return y, start


def pair_batches(
    images: np.ndarray, arrays: tuple[np.ndarray, np.ndarray], settings: TrainingSettings, *, shard: Shard = WHOLE
) -> Callable[[int], Pair]:
    """Return step -> pairs on the CPU, in a new random order every epoch: whole images, or crops of both at one place.

    Args:
        images: uint8 or float32 (n, C, H, W).
        arrays: their measurements and reconstructions, of `read_pairs`.
        settings: of the training.
        shard: which part of the batch.

    Raises ValueError if there are fewer images than a batch needs.
    """
    pairs = settings.pairs
    assert pairs is not None
    per_batch, side = settings.batch_size // settings.crops, settings.sample_shape[-1]
    whole = images.shape[2:] == (side, side)
    numbers, part = random_order(len(images), settings.batch_size, settings.crops, settings.seed), shard.of(per_batch)
    # the thread that makes batches has an operator of its own: ODL's are not for two threads
    own, operator = (build_operator(pairs.operator, images.shape[1:], pairs.seed) for _ in range(2))

    def batch(step: int) -> Pair:
        chosen = numbers(step)[part]
        noise = torch.randn(per_batch, *operator.output_shape, generator=torch_generator(settings.seed, "noise", step))
        mix = torch.rand(settings.batch_size, 1, 1, 1, generator=torch_generator(settings.seed, "mix", step))
        mix = mix[shard.of(settings.batch_size)]
        x, y, start = noisy_pair(images[chosen], [array[chosen] for array in arrays], own, pairs, noise[part])
        if whole:
            return Pair(x, start, mix, y, operator)
        draws = [numpy_generator(settings.seed, "crops", step, place) for place in range(per_batch)[part]]
        both = zip(torch.cat((x, start), 1), draws, strict=True)
        crops = torch.cat([Crops()(stacked, side, settings.crops, draw) for stacked, draw in both])
        image, start = crops.chunk(2, 1)
        return Pair(image, start, mix)

    return batch


def noisy_pair(
    images: np.ndarray, arrays: list[np.ndarray], operator: LinearOperator, pairs: Pairs, normal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, measurements and reconstructions, with the noise of standard normal numbers (N, *output_shape)."""
    noise = pairs.noise * normal
    y, start = (torch.from_numpy(np.array(array)) for array in arrays)
    start = start + operator.initial(noise)
    return to_tensor(images), y + noise, start.clamp_(0, 1) if pairs.clip else start
