"""Train one network, a learned proximal network or another denoiser, going on from its last checkpoint.

Under torchrun several processes, on one machine or more, share every batch: the steps are the same for any number of them.
SIGTERM, SIGINT (Ctrl-C) and SIGHUP end it after it saved its state; the same command goes on.

examples:
  python scripts/train.py --spec spec.yaml --data data/prepared/mnist --output out/model.pt
  torchrun --standalone --nproc-per-node 4 scripts/train.py --spec spec.yaml --data data/prepared/mnist --output out/model.pt
  python scripts/train.py --output out/model.pt --spec '{"network": "lpn_scalar", "dataset": "laplace", "sigma": 1,
      "seed": 1, "batch_size": 2000, "phases": [{"loss": "l1", "steps": 1000, "lr": 0.001}]}'
"""

import argparse
import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from _cli import add_device, add_threads, as_user_errors, parser, read_spec, setup_compute
from pydantic import Field, model_validator

from lpn.checkpoints import load_model, read_checkpoint, save_model
from lpn.compute import describe_device, use_bf16
from lpn.data import DataSet
from lpn.errors import UserError, run_cli
from lpn.files import checksum, read_array, try_lock, write_json, write_text
from lpn.images import load_images
from lpn.networks import Network, build_network
from lpn.seeds import stream_seed
from lpn.settings import Choice, Component, files, parts
from lpn.training.batches import image_batches
from lpn.training.schedule import make_schedule
from lpn.training.settings import Logging, TrainingSettings
from lpn.training.shard import Shard, join_processes
from lpn.training.state import Checkpoints, Identity
from lpn.training.trainer import DivergenceError, Trainer, train
from lpn.training.validation import make_validation


class TrainSpec(TrainingSettings):
    """The settings of a training, with the data set if its samples are drawn."""

    dataset: Annotated[DataSet, Choice("dataset")] | None = Field(
        default=None, description="the data set, if its samples are drawn (laplace); images are given by --data"
    )

    @model_validator(mode="after")
    def _draws_samples(self) -> Self:
        if self.dataset and self.dataset.prepared:
            raise ValueError(f"dataset '{self.dataset.name}' has prepared images; give their folder by --data instead")
        return self


def make_batches(spec: TrainSpec, data: Path | None, device: torch.device, shard: Shard) -> Callable[[int], torch.Tensor]:
    """Return step -> this process's shard of a clean batch."""
    if data is None:
        assert spec.dataset is not None
        spec.check_images(spec.dataset.channels, None)
        return spec.dataset.batches(spec.batch_size, spec.seed, device, shard)
    images = load_images(data / "train.npy")
    _, channels, height, width = images.shape
    spec.check_images(channels, [(height, width, len(images))])
    side = spec.sample_shape[-1]
    patch = None if (height, width) == (side, side) else side
    return image_batches(
        images, spec.batch_size, spec.seed, device, patch=patch, crops=spec.crops, augment=spec.augment, shard=shard
    )


def make_trainer(spec: TrainSpec, data: Path | None, init: Path | None, device: torch.device, shard: Shard) -> Trainer:
    """Return the trainer: the network, with the weights of `init` if given, its data and its schedule."""
    torch.manual_seed(stream_seed(spec.seed, "initialisation"))
    model = build_network(spec.network)
    first_step = 0
    if init:
        model.load_state_dict(load_model(init, spec.network).state_dict())
        first_step = read_checkpoint(init)["iteration"]
    return Trainer(
        model.to(device),
        make_batches(spec, data, device, shard),
        make_schedule(spec.phases, math.prod(spec.sample_shape)),
        sigma=spec.sigma,
        seed=spec.seed,
        clip=spec.clip_noisy,
        weight_decay=spec.weight_decay,
        bf16=spec.precision == "bf16" and use_bf16(device),
        compile=spec.compile,
        first_step=first_step,
        shard=shard,
    )


def validation(
    spec: TrainSpec, data: Path | None, count: int, device: torch.device
) -> Callable[[Network], dict[str, float]] | None:
    """Return model -> PSNR and SSIM on validation images; None if there are none."""
    if data is None:
        return None
    path = data / "validation.npy"
    try:
        if not len(read_array(path, mmap_mode="r")):
            return None
    except ValueError:
        pass  # load_images says what is wrong
    with as_user_errors(f"{path}: "):
        return make_validation(load_images(path)[:count], spec, device)


def log_text(records: list[dict[str, Any]]) -> str:
    """Return the records as CSV: step, loss_name, gamma and whatever else a loss logs, lr, loss, validation."""
    last = ["lr", "loss", "validation_psnr", "validation_ssim"]
    names = ["step", "loss_name", "gamma", *dict.fromkeys(name for record in records for name in record)]
    columns = [*dict.fromkeys(name for name in names if name not in last), *last]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def run(trainer: Trainer, checkpoints: Checkpoints, spec: TrainSpec, logging: Logging, args: argparse.Namespace) -> None:
    """Train to the end, in the first process, with a progress bar and TensorBoard."""
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm

    board = SummaryWriter(checkpoints.folder / "tensorboard", purge_step=trainer.step_count)
    bar = tqdm(total=trainer.total_steps, initial=trainer.step_count, desc="training", unit="step", mininterval=5)

    def show(record: dict[str, Any]) -> None:
        bar.update(record["step"] - bar.n)
        bar.set_postfix_str(f"{record['loss_name']} {record['loss']:.4g}", refresh=False)
        for name, value in record.items():
            if name not in ("step", "loss_name"):
                board.add_scalar(name, value, record["step"])

    with board, bar:
        train(
            trainer,
            checkpoints.save,
            log_every=logging.every,
            validate=validation(spec, args.data, logging.validation_images, trainer.device),
            validate_every=logging.validate_every,
            save_seconds=args.save_seconds,
            on_record=show,
        )


def checksums(spec: TrainSpec, data: Path | None, init: Path | None) -> dict[str, str]:
    """Return the checksums of the files that decide the training: data, weights, plug-ins and files of the settings."""
    plug_ins = [part.name.rpartition(":")[0] for part in parts(spec) if isinstance(part, Component)]
    named = [*files(spec), *filter(None, plug_ins)]
    sums = {name: checksum(name) for name in named}
    sums |= {"data": checksum(data / "train.npy")} if data else {}
    return sums | ({"init": checksum(init)} if init else {})


def write_results(trainer: Trainer, args: argparse.Namespace) -> None:
    """Write the model, what made it, and the log of its training."""
    write_text(args.log or args.output.with_name("training.csv"), log_text(trainer.records))
    made_with = {"precision": "bf16" if trainer.bf16 else "fp32", **describe_device(trainer.device)}
    write_json(args.output.with_name("made_with.json"), made_with)
    iteration = trainer.first_step + trainer.step_count
    save_model(args.output, trainer.model, iteration, trainer.optimizer.state_dict(), trainer.records[-1]["loss"])


def read_arguments() -> argparse.Namespace:
    arguments = parser(__doc__, TrainSpec)
    arguments.add_argument("--spec", required=True, help="the settings: JSON text, or a JSON or YAML file")
    arguments.add_argument("--data", type=Path, help="folder of prepared images (none if the spec has 'dataset')")
    arguments.add_argument("--init", type=Path, help="model.pt to start from")
    arguments.add_argument("--logging", default="{}", help='as JSON, e.g. {"every": 100, "validate_every": 1000, '
                           '"validation_images": 32}; it changes nothing of the model')  # fmt: skip
    arguments.add_argument("--output", type=Path, required=True, help="model.pt; model_config.json and made_with.json are "
                           "written beside it")  # fmt: skip
    arguments.add_argument("--log", type=Path, help="CSV of losses (default: training.csv beside the output)")
    arguments.add_argument("--checkpoints", type=Path, help="folder of the resumable state (default: beside the output)")
    arguments.add_argument("--save-seconds", type=float, default=60, help="time between checkpoints (default: 60)")
    add_threads(arguments)
    add_device(arguments)
    return arguments.parse_args()


def lead(trainer: Trainer, checkpoints: Checkpoints, spec: TrainSpec, logging: Logging, args: argparse.Namespace) -> None:
    """Train and write the results, as the only or the first process."""
    lock = try_lock(checkpoints.folder / "lock")
    if lock is None:
        raise UserError(
            f"another process trains in {checkpoints.folder}. Wait for it, or end it, and run the same command again."
        )
    with lock:
        for note in checkpoints.restore(trainer):
            print(note)
        if trainer.step_count:
            print(f"going on from step {trainer.step_count} of {trainer.total_steps}", flush=True)
        trainer.shard.wait()
        run(trainer, checkpoints, spec, logging, args)
        write_results(trainer, args)


def follow(trainer: Trainer, checkpoints: Checkpoints, logging: Logging) -> None:
    """Train as another process than the first."""
    trainer.shard.wait()  # until the first process has renamed damaged states
    checkpoints.restore(trainer)
    train(trainer, checkpoints.save, log_every=logging.every)


def main() -> None:
    args = read_arguments()
    spec, logging = read_spec(args.spec, TrainSpec), read_spec(args.logging, Logging)
    if (spec.dataset is None) != (args.data is not None):
        raise UserError("give either 'dataset' in the settings, or --data with the folder of prepared training images.")
    shard, device = join_processes(setup_compute(args.threads, args.device))
    with as_user_errors("the settings: "):
        trainer = make_trainer(spec, args.data, args.init, device, shard)
    if spec.precision == "bf16" and not trainer.bf16:
        print("this processor is not faster in bfloat16: 'precision: bf16' is computed in fp32", flush=True)
    folder = args.checkpoints or args.output.parent / "checkpoints"
    checkpoints = Checkpoints(folder, Identity(spec, checksums(spec, args.data, args.init)))
    try:
        if shard.rank:
            follow(trainer, checkpoints, logging)
        else:
            lead(trainer, checkpoints, spec, logging, args)
    except DivergenceError as error:
        raise UserError(
            f"{error}. The last good checkpoint was kept. Lower the learning rate 'lr' of that phase, or train in fp32 if "
            "'precision' is bf16."
        ) from error


if __name__ == "__main__":
    run_cli(main)
