"""A training from its settings and files: what trains, and what comes out."""

import csv
import io
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from lpn.checkpoints import load_state, read_checkpoint, save_model
from lpn.compute import describe_device, use_precision
from lpn.data import DataSet
from lpn.files import checksum, read_array, write_json, write_text
from lpn.images import load_images
from lpn.networks import Network, Regulariser, build_network
from lpn.seeds import stream_seed
from lpn.settings import Choice, Component, files, parts
from lpn.training.batches import image_batches, noisy_batches
from lpn.training.pairs import ARRAYS as PAIRS
from lpn.training.pairs import pair_batches, read_pairs
from lpn.training.schedule import make_schedule
from lpn.training.settings import TrainingSettings
from lpn.training.shard import Shard
from lpn.training.trainer import Batch, Trainer
from lpn.training.validation import make_critic_validation, make_validation


class TrainSpec(TrainingSettings):
    """The settings of a training, with the data set if its samples are drawn."""

    dataset: Annotated[DataSet, Choice("dataset")] | None = Field(
        default=None, description="the data set, if its samples are drawn (laplace); images are in a folder of their own"
    )

    @model_validator(mode="after")
    def _draws_samples(self) -> Self:
        if self.dataset and self.dataset.prepared:
            raise ValueError(f"dataset '{self.dataset.name}' has prepared images; give their folder instead")
        return self


def make_batches(
    spec: TrainSpec, data: Path | np.ndarray | None, pairs: Path | None, shard: Shard
) -> Callable[[int], Batch]:
    """Return number -> this process's shard of a batch."""
    if spec.pairs:
        if not isinstance(data, Path) or pairs is None:
            raise ValueError("a regulariser learns of pairs: give the folder of prepared images and that of its pairs")
        images = load_images(data / "train.npy")
        spec.check_images(images.shape[1], [(*images.shape[2:], len(images))])
        return pair_batches(images, read_pairs(pairs, "train", data / "train.npy", spec.pairs), spec, shard=shard)
    if data is None:
        assert spec.dataset is not None
        spec.check_images(spec.dataset.channels, None)
        clean = spec.dataset.batches(spec.batch_size, spec.seed, shard)
    else:
        images = data if isinstance(data, np.ndarray) else load_images(data / "train.npy")
        spec.check_images(images.shape[1], [(*images.shape[2:], len(images))])
        patch = None if images.shape[1:] == spec.sample_shape else spec.sample_shape[-1]
        options = {"crops": spec.crops, "augment": spec.augment, "shard": shard}
        clean = image_batches(images, spec.batch_size, spec.seed, patch=patch, **options)
    assert spec.sigma is not None
    return noisy_batches(clean, spec.sigma, spec.seed, clip=spec.clip_noisy, shard=shard)


def make_trainer(
    spec: TrainSpec,
    data: Path | np.ndarray | None,
    init: Path | None,
    device: torch.device,
    shard: Shard,
    pairs: Path | None = None,
) -> Trainer:
    """Return the trainer: the network, with the weights of `init` if given, its data and its schedule.

    `data` is the folder of prepared images, or the training images themselves, uint8 or float32 (n, C, H, W); None if the
    settings have a data set. `pairs` is the folder of the pairs of a regulariser. Raises ValueError if they do not fit.
    """
    torch.manual_seed(stream_seed(spec.seed, "initialisation"))
    model = build_network(spec.network)
    if init:
        load_initial(model, init)
    return Trainer(
        model.to(device),
        make_batches(spec, data, pairs, shard),
        make_schedule(spec.phases, math.prod(spec.sample_shape)),
        betas=spec.betas,
        weight_decay=spec.weight_decay,
        precision=use_precision(spec.precision, device),
        compile=spec.compile,
        capture=captures(spec),
        first_step=read_checkpoint(init)["iteration"] if init else 0,
        shard=shard,
    )


def captures(spec: TrainSpec) -> bool:
    """Return whether steps may be captured as CUDA graphs: those of our own networks and losses that differentiate once.

    A plug-in may read values, or change from step to step, which a captured step would not show.
    """
    own = not any(isinstance(part, Component) and part.plug_in for part in parts(spec))
    return own and spec.network.compiles and not spec.compile


def load_initial(model: Network, path: Path) -> None:
    """Load the weights of a model into a network, or into its part that has weights of these names, as UAR has an AR.

    Raises UserError if they do not fit.
    """
    state = read_checkpoint(path)["model_state_dict"]
    parts = [part for part in model.modules() if isinstance(part, Network) and part.state_dict().keys() == state.keys()]
    load_state(parts[0] if parts else model, state, path)


def validation_of(
    data: Path | None, count: int, spec: TrainSpec, device: torch.device, pairs: Path | None = None
) -> Callable[[Network], dict[str, float]] | None:
    """Return model -> scores on the first validation images of a folder; None if there are none."""
    if data is None:
        return None
    with suppress(ValueError):  # load_images says what is wrong
        if not len(read_array(data / "validation.npy", mmap_mode="r")):
            return None
    images = load_images(data / "validation.npy")[:count]
    if spec.pairs and pairs:
        y, start = read_pairs(pairs, "validation", data / "validation.npy", spec.pairs)
        return make_critic_validation(images, [y[:count], start[:count]], spec, device)
    return make_validation(images, spec, device)


def checksums(spec: TrainSpec, data: Path | None, init: Path | None, pairs: Path | None = None) -> dict[str, str]:
    """Return the checksums of the files that decide the training: data, weights, plug-ins and files of the settings."""
    plug_ins = {str(part.plug_in) for part in parts(spec) if isinstance(part, Component) and part.plug_in}
    named = {name: name for name in [*files(spec), *plug_ins]} | {"data": data and data / "train.npy", "init": init}
    named |= {name: pairs / f"train_{name}.npy" for name in PAIRS} if pairs else {}
    return {key: checksum(file) for key, file in named.items() if file}


def write_results(trainer: Trainer, output: Path, log: Path) -> None:
    """Write the model, what made it beside it, and the log as CSV: step, loss, learning rate and validation."""
    names = ["step", "loss_name", "gamma", *(name for record in trainer.records for name in record)]
    scores = [] if isinstance(trainer.model, Regulariser) else ["validation_psnr", "validation_ssim"]
    last = dict.fromkeys(["lr", "loss", *scores, *(name for name in names if name.startswith("validation_"))])
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*dict.fromkeys(name for name in names if name not in last), *last], lineterminator="\n")
    writer.writeheader()
    writer.writerows(trainer.records)
    write_text(log, buffer.getvalue())
    made_with = {"precision": trainer.precision, **describe_device(trainer.device)}
    write_json(output.with_name("made_with.json"), made_with)
    iteration = trainer.first_step + trainer.step_count
    save_model(output, trainer.model, iteration, trainer.optimizer_state(), trainer.records[-1]["loss"])
