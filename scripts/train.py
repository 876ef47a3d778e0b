"""Train one network, a learned proximal network or another denoiser, going on from its last checkpoint.

The settings are one model of config/config.yaml, as JSON text or a JSON or YAML file. Under torchrun several processes, on
one machine or more, share every batch: the steps are the same, for any number of them.

examples:
  python scripts/train.py --spec spec.yaml --data data/prepared/mnist --output out/model.pt
  torchrun --standalone --nproc-per-node 4 scripts/train.py --spec spec.yaml --data data/prepared/mnist --output out/model.pt
  python scripts/train.py --output out/model.pt --spec '{"network": {"name": "lpn_1d"}, "data": "laplace", "sigma": 1,
      "seed": 1, "batch_size": 2000, "phases": [{"loss": "l1", "steps": 1000, "lr": 0.001}]}'
"""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _cli import add_device, add_threads, parser, read_spec, setup_compute, use_bf16

from lpn.checkpoints import load_model, read_checkpoint, save_model
from lpn.data import centre, image_batches, laplace_batches, load_images, to_tensor
from lpn.errors import UserError, run_cli
from lpn.files import checksum, try_lock, write_text
from lpn.metrics import psnr, ssim
from lpn.networks import Denoiser, build_network
from lpn.parallel import Share, join_processes
from lpn.seeds import stream_seed, torch_generator
from lpn.training import Checkpoints, Trainer, make_schedule, train

COLUMNS = ["step", "loss_name", "gamma", "lr", "loss", "validation_psnr", "validation_ssim"]


def make_batches(
    spec: dict[str, Any], data: str | None, side: int | None, device: torch.device, share: Share
) -> Callable[[int], torch.Tensor]:
    """Return step -> this process's share of a clean batch for the spec's data set; patches have the given side."""
    if spec["data"] == "laplace":
        return laplace_batches(spec["batch_size"], spec["seed"], device, share)
    images = load_images(Path(data) / "train.npy")
    whole = images.shape[-2:] == (side, side)
    return image_batches(
        images,
        spec["batch_size"],
        spec["seed"],
        device,
        patch=None if whole else side,
        crops=spec.get("crops", 1),
        augment=spec.get("augment"),
        share=share,
    )


def make_validation(
    spec: dict[str, Any], data: str | None, side: int | None, device: torch.device
) -> Callable[[Denoiser], dict[str, float]] | None:
    """Return model -> PSNR and SSIM of denoising the same noisy centres of validation images; None for Laplacian data."""
    if spec["data"] == "laplace":
        return None
    images = load_images(Path(data) / "validation.npy")[: spec.get("validation_images")]
    clean = centre(to_tensor(images), side)
    noise = torch.randn(clean.shape, generator=torch_generator(spec["seed"], "validation"))
    noisy = clean + spec["sigma"] * noise
    noisy = (noisy.clamp(0, 1) if spec.get("clip_noisy") else noisy).to(device)

    @torch.no_grad()
    def validate(model: Denoiser) -> dict[str, float]:
        model.eval()
        denoised = torch.cat([model(part) for part in noisy.split(50)]).cpu().numpy()
        model.train()
        return {
            "validation_psnr": float(psnr(denoised, clean.numpy()).mean()),
            "validation_ssim": float(ssim(denoised, clean.numpy()).mean()),
        }

    return validate


def sample_shape(spec: dict[str, Any], model: Denoiser) -> tuple[int, ...]:
    """Return the shape of one training sample. Raises UserError where 'patch' does not fit the network."""
    side = spec.get("patch", model.input_shape[-1])
    if side is None or model.input_shape[-1] not in (None, side):
        raise UserError(
            f"config key 'patch' is {side}: {spec['network']['name']} "
            + ("takes patches of any size, so it must be given." if side is None else f"takes {model.input_shape} only.")
        )
    return (*model.input_shape[:-2], side, side) if len(model.input_shape) == 3 else model.input_shape


def make_trainer(spec: dict[str, Any], data: str | None, init: str | None, device: torch.device, share: Share) -> Trainer:
    """Build the network, with the weights of `init` where given, its data and its schedule."""
    torch.manual_seed(stream_seed(spec["seed"], "initialisation"))
    model = build_network(spec["network"])
    shape = sample_shape(spec, model)
    batches = make_batches(spec, data, shape[-1], device, share)
    identity, first_step = [json.dumps(spec, sort_keys=True)], 0
    if data:
        identity.append(checksum(Path(data) / "train.npy"))
    if init:
        model.load_state_dict(load_model(init, spec["network"]).state_dict())
        identity.append(checksum(init))
        first_step = read_checkpoint(init)["iteration"]
    return Trainer(
        model.to(device),
        batches,
        make_schedule(spec["phases"], math.prod(shape)),
        sigma=spec["sigma"],
        seed=spec["seed"],
        clip=spec.get("clip_noisy", False),
        weight_decay=spec.get("weight_decay", 0.0),
        bf16=use_bf16(spec, device),
        compile=spec.get("compile", False),
        first_step=first_step,
        identity=" ".join(identity),
        share=share,
    )


def write_log(path: Path, records: list[dict[str, Any]]) -> None:
    """Write the records as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_text(path, buffer.getvalue())


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="the model's settings: JSON text or a file")
    arguments.add_argument("--data", help="folder of the prepared data set (none for laplace)")
    arguments.add_argument("--init", help="model.pt to start from")
    arguments.add_argument("--output", type=Path, required=True, help="model.pt; model_config.json is written beside it")
    arguments.add_argument("--log", type=Path, help="CSV of losses (default: training.csv beside the output)")
    arguments.add_argument("--checkpoints", type=Path, help="folder of the resumable state (default: beside the output)")
    arguments.add_argument("--save-seconds", type=float, default=60, help="time between checkpoints (default: 60)")
    add_threads(arguments)
    add_device(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec, "network", "data", "sigma", "seed", "batch_size", "phases")
    if (spec["data"] == "laplace") != (args.data is None):
        raise UserError("--data names the folder of the prepared training images; it is needed for all data but laplace.")
    share, device = join_processes(setup_compute(args.threads, args.device))
    trainer = make_trainer(spec, args.data, args.init, device, share)
    folder = args.checkpoints or args.output.parent / "checkpoints"
    checkpoints = Checkpoints(folder)
    if share.rank:
        share.wait()  # until the first process has removed damaged states
        checkpoints.restore(trainer)
        train(trainer, checkpoints)
        return
    lock = try_lock(folder / "lock")  # until this process ends
    if lock is None:
        raise UserError(f"another process trains in {folder}. Wait for it, or end it, and run the same command again.")
    for problem in checkpoints.restore(trainer):
        print(f"warning: {problem} It was removed; training goes on from step {trainer.step_count}.")
    if trainer.step_count:
        print(f"going on from step {trainer.step_count} of {trainer.total_steps}", flush=True)
    share.wait()

    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm

    board = SummaryWriter(checkpoints.current.parent / "tensorboard", purge_step=trainer.step_count)
    bar = tqdm(total=trainer.total_steps, initial=trainer.step_count, desc="training", unit="step", mininterval=5)

    def show(record: dict[str, Any]) -> None:
        bar.update(record["step"] - bar.n)
        bar.set_postfix_str(f"{record['loss_name']} {record['loss']:.4g}", refresh=False)
        for name in ("loss", "lr", "gamma", "validation_psnr", "validation_ssim"):
            if name in record:
                board.add_scalar(name, record[name], record["step"])

    with board, bar:
        train(
            trainer,
            checkpoints,
            log_every=spec.get("log_every", 100),
            validate=make_validation(spec, args.data, sample_shape(spec, trainer.model)[-1], device),
            validate_every=spec.get("validate_every", 1000),
            save_seconds=args.save_seconds,
            on_record=show,
        )
    write_log(args.log or args.output.with_name("training.csv"), trainer.records)
    optimizer = trainer.optimizer.state_dict()
    iteration = trainer.first_step + trainer.step_count
    save_model(args.output, trainer.model, iteration, optimizer, trainer.records[-1]["loss"])


if __name__ == "__main__":
    run_cli(main)
