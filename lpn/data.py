"""Training batches, each a pure function of the step."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpn.errors import UserError
from lpn.files import read_array
from lpn.parallel import WHOLE, Share
from lpn.seeds import numpy_generator, torch_generator


def laplace_batches(
    batch_size: int, seed: int, device: torch.device | str = "cpu", share: Share = WHOLE
) -> Callable[[int], Tensor]:
    """Return step -> fresh samples (batch_size, 1), or a share of them, of the Laplace distribution of mean 0 and scale 1.

    A Laplace variable is the difference of two independent exponential ones.
    """
    part = share.of(batch_size)

    def batch(step: int) -> Tensor:
        generator = torch_generator(seed, "laplace", step, device=device)
        pair = torch.empty(2, batch_size, 1, device=device).exponential_(generator=generator)
        return (pair[0] - pair[1])[part]

    return batch


def _checked(read: Callable[[], np.ndarray], path: str | Path) -> np.ndarray:
    """Return the images that `read` makes of `path`. Raises UserError where it can't, or they are no images."""
    try:
        images = read()
    except ValueError as error:
        raise UserError(
            f"{path} can't be read as a NumPy array ({error}). Delete it; the pipeline makes it anew."
        ) from error
    if images.ndim != 4 or not len(images) or images.dtype not in (np.uint8, np.float32):
        raise UserError(
            f"{path} holds {images.dtype} {images.shape}, not uint8 or float32 images (n, C, H, W). Delete it and rerun."
        )
    return images


def load_images(path: str | Path) -> np.ndarray:
    """Return the images of a prepared file, (n, C, H, W), uint8 or float32 in [0, 1], mapped from the disk.

    Raises UserError where the file is missing or no such array.
    """
    return _checked(lambda: read_array(path, mmap_mode="r"), path)


def read_images(path: str | Path, first: int, count: int) -> np.ndarray:
    """Return `count` images (count, C, H, W) from number `first` on, of a prepared file.

    A file may hold images of several sizes: an array of each size, one after the other. Raises UserError as `load_images`
    does, where there are fewer images, and where those asked for differ in size or are not finite.
    """
    arrays = [load_images(path)]
    with Path(path).open("rb") as file:
        file.seek(arrays[0].offset + arrays[0].nbytes)
        while file.peek(1):
            arrays.append(_checked(lambda: read_array(file), path))
    chosen = list(itertools.islice(itertools.chain(*arrays), first, first + count))
    if len(chosen) < count:
        raise UserError(
            f"images up to {first + count} are asked for, but {path} has only {sum(map(len, arrays))}: lower the config key "
            "'images' of the experiment, of validation images 'inverse.tuning_images'."
        )
    if len({image.shape for image in chosen}) > 1:
        raise UserError(
            f"images {first} to {first + count - 1} of {path} have different sizes, so one job can't hold them. It has "
            + ", then ".join(f"{len(array)} of {array.shape[2]}x{array.shape[3]}" for array in arrays)
            + ": set the experiment's config key 'images_per_job' so that no job meets two sizes; 1 always works."
        )
    images = np.stack(chosen)
    if not np.isfinite(images).all():
        raise UserError(f"{path} holds NaN or infinite values. Delete it; the pipeline makes it anew.")
    return images


def to_tensor(images: np.ndarray) -> Tensor:
    """Return images as float32 in [0, 1]. Raises UserError where one is not finite."""
    tensor = torch.from_numpy(np.array(images))
    if tensor.dtype == torch.uint8:
        return tensor.float() / 255
    if not tensor.isfinite().all():
        raise UserError("an image holds NaN or infinite values. Delete the prepared data; the pipeline makes them anew.")
    return tensor


def centre(images: Tensor, side: int, key: str = "'size' or 'patch' of the model") -> Tensor:
    """Return the centres (n, C, side, side) of images (n, C, H, W).

    Raises UserError where they are smaller, which names `key`: what the side comes from.
    """
    if side > min(images.shape[-2:]):
        raise UserError(
            f"config key {key}: squares of side {side} don't fit into images of {images.shape[-2]}x{images.shape[-1]}."
        )
    top, left = ((n - side) // 2 for n in images.shape[-2:])
    return images[..., top : top + side, left : left + side]


def image_batches(
    images: np.ndarray,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
    *,
    patch: int | None = None,
    crops: int = 1,
    augment: str | None = None,
    share: Share = WHOLE,
) -> Callable[[int], Tensor]:
    """Return step -> (batch_size, C, patch, patch) float32 images, in a new random order every epoch.

    They are in [0, 1], but for those of the augmentation `ranges`.

    Crops and augmentation of an image depend on the step and its place in the batch alone.

    Args:
        images: uint8 or float32 (n, C, H, W); only the images of a batch are read.
        batch_size: patches of a batch; the last, incomplete batch of an epoch is left out.
        seed: of order, crops and augmentation.
        device: where batches are put.
        patch: side of random crops; None takes whole images.
        crops: random crops of each image of a batch; more than 1 saves reading and augmenting.
        augment: one of `AUGMENTATIONS`, or None.
        share: the part of the images of each batch that is returned.

    Raises UserError where there are fewer images than one batch takes, or `crops` does not divide the batch.
    """
    if batch_size % crops:
        raise UserError(f"config key 'crops' is {crops}, which does not divide 'batch_size', {batch_size}.")
    if crops > 1 and patch is None:
        raise UserError(f"config key 'crops' is {crops}, but the images are as large as the network's input: take 1.")
    per_batch = batch_size // crops
    if len(images) < per_batch:
        raise UserError(f"config key 'batch_size' is {batch_size}, but the training set has only {len(images)} images.")
    per_epoch, part = len(images) // per_batch, share.of(per_batch)
    order: dict[int, Tensor] = {}

    def batch(step: int) -> Tensor:
        epoch, position = divmod(step, per_epoch)
        if epoch not in order:
            order.clear()
            order[epoch] = torch.randperm(len(images), generator=torch_generator(seed, "order", epoch))
        chosen = to_tensor(images[order[epoch][position * per_batch : (position + 1) * per_batch][part].numpy()])
        if patch is None and augment is None:
            return chosen.to(device)
        draws = (numpy_generator(seed, "crops", step, place) for place in range(per_batch)[part])
        pairs, transform = zip(chosen, draws, strict=True), AUGMENTATIONS[augment]
        return torch.cat([transform(image, patch or image.shape[-1], crops, draw) for image, draw in pairs]).to(device)

    return batch


def _crops(image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
    """Return random crops (crops, C, patch, patch) of an image (C, H, W)."""
    height, width = image.shape[-2:]
    if patch > min(height, width):
        raise UserError(f"patches of {patch}x{patch} don't fit into images of {height}x{width}.")
    corners = zip(draws.integers(height - patch + 1, size=crops), draws.integers(width - patch + 1, size=crops), strict=True)
    return torch.stack([image[:, top : top + patch, left : left + patch] for top, left in corners])


def _flips(image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
    """Return random crops, each flipped and turned by quarter turns at random."""
    patches = _crops(image, patch, crops, draws)
    moves = zip(patches, draws.integers(4, size=crops), draws.integers(2, size=crops), strict=True)
    return torch.stack([torch.rot90(p.flip(-1) if flip else p, int(turns), (-2, -1)) for p, turns, flip in moves])


def _colours(image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
    """Take random crops as `_flips`, of the image at full, half or third size, with its channels in any order.

    In most photographs the channels are alike, and JPEG files store colours at half the resolution. A denoiser that relies
    on either fails on sharp and saturated colours. Images stay large enough for the patches.
    """
    reduction = min(1 + int(draws.integers(3)), min(image.shape[-2:]) // patch)
    if reduction > 1:
        image = torch.nn.functional.avg_pool2d(image, reduction)
    return _flips(image[torch.from_numpy(draws.permutation(len(image)))], patch, crops, draws)


def _ranges(image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
    """Take random crops as `_flips`, at p .5 each with contrast changed by a factor of 1/2 to 2 and shifted by up to .5.

    What an LPN has seen nothing of outside [0, 1] its regulariser may well prefer: without a box, algorithms drift there.
    """
    patches = _flips(image, patch, crops, draws)
    contrast = np.where(draws.random(crops) < 0.5, 2 ** draws.uniform(-1, 1, crops), 1.0)
    shift = np.where(draws.random(crops) < 0.5, draws.uniform(-0.5, 0.5, crops), 0.0)
    contrast, shift = (torch.from_numpy(change).float().view(-1, 1, 1, 1) for change in (contrast, shift))
    return 0.5 + contrast * (patches - 0.5) + shift


def _ct(image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
    """Augment a CT slice (1, H, W) as the LPN paper does (its section E), then crop.

    Flip p .5; p .8 rotation up to 180 degrees and scale .9 to 1.1; p .2 perspective of distortion .5; crop; p .5 brightness
    and contrast by factors in [.5, 1.5].
    """
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import functional as T

    height, width = image.shape[-2:]
    if draws.random() < 0.5:
        image = image.flip(-1)
    if draws.random() < 0.8:
        angle, scale = draws.uniform(-180, 180), draws.uniform(0.9, 1.1)
        image = T.affine(image, angle, [0, 0], scale, [0.0, 0.0], interpolation=v2.InterpolationMode.NEAREST)
    if draws.random() < 0.2:
        reach = [width // 4, height // 4]
        inward = [[int(draws.integers(reach[axis] + 1)) for axis in range(2)] for _ in range(4)]
        corners = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
        moved = [
            [x + dx if x == 0 else x - dx, y + dy if y == 0 else y - dy]
            for (x, y), (dx, dy) in zip(corners, inward, strict=True)
        ]
        image = T.perspective(image, corners, moved)
    patches = _crops(image, patch, crops, draws)
    return torch.stack([_jitter(p, draws) for p in patches])


def _jitter(patch: Tensor, draws: np.random.Generator) -> Tensor:
    from torchvision.transforms.v2 import functional as T

    if draws.random() >= 0.5:
        return patch
    changes: list[Callable[[Tensor, float], Tensor]] = [T.adjust_brightness, T.adjust_contrast]
    for i in draws.permutation(2):
        patch = changes[i](patch, draws.uniform(0.5, 1.5))
    return patch


AUGMENTATIONS: dict[str | None, Callable[..., Tensor]] = {
    None: _crops,
    "flips": _flips,
    "colours": _colours,
    "ranges": _ranges,
    "ct": _ct,
}
