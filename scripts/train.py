"""Train one network: a learned proximal network, another denoiser, or a regulariser, going on from its last checkpoint.

Under torchrun several processes, on one machine or more, share every batch: the steps are the same for any number of them.
SIGTERM, SIGINT (Ctrl-C) and SIGHUP end it after it saved its state; the same command goes on.

examples:
  python scripts/train.py --spec spec.yaml --data data/prepared/mnist --output out/model.pt
  torchrun --standalone --nproc-per-node 4 scripts/train.py --spec spec.yaml --data data/prepared/mnist --output out/model.pt
  python scripts/train.py --output out/model.pt --spec '{"network": "lpn_scalar", "dataset": "laplace", "sigma": 1,
      "seed": 1, "batch_size": 2000, "phases": [{"loss": "l1", "steps": 1000, "lr": 0.001}]}'
"""

import argparse
import time
from pathlib import Path
from typing import Any

from _cli import add_device, add_threads, as_user_errors, parser, read_spec, run_job, setup_compute

from lpn.errors import UserError
from lpn.files import try_lock
from lpn.training.job import TrainSpec, checksums, make_trainer, validation_of, write_results
from lpn.training.settings import Logging
from lpn.training.shard import join_processes
from lpn.training.state import Checkpoints, Identity
from lpn.training.trainer import DivergenceError, Trainer, train


def lead(trainer: Trainer, checkpoints: Checkpoints, spec: TrainSpec, logging: Logging, args: argparse.Namespace) -> None:
    """Train to the end as the only or the first process, with a progress bar and TensorBoard."""
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm

    for note in checkpoints.restore(trainer):
        print(note)
    if trainer.step_count:
        print(f"going on from step {trainer.step_count} of {trainer.total_steps}", flush=True)
    trainer.shard.wait()
    with as_user_errors(f"{args.data}/validation.npy: "):
        validate = validation_of(args.data, logging.validation_images, spec, trainer.device, args.pairs)
    board = SummaryWriter(checkpoints.folder / "tensorboard", purge_step=trainer.step_count)
    bar = tqdm(total=trainer.total_steps, initial=trainer.step_count, desc="training", unit="step", mininterval=5)

    def show(record: dict[str, Any]) -> None:
        bar.update(record["step"] - bar.n)
        bar.set_postfix_str(f"{record['loss_name']} {record['loss']:.4g}", refresh=False)
        for name in record.keys() - {"step", "loss_name"}:
            board.add_scalar(name, record[name], record["step"])

    started = time.monotonic()
    with board, bar:
        train(
            trainer,
            checkpoints.save,
            log_every=logging.every,
            validate=validate,
            validate_every=logging.validate_every,
            save_seconds=args.save_seconds,
            on_record=show,
        )
    elapsed = time.monotonic() - started
    print(f"steps waited for their batches {trainer.waited:.1f} s of {elapsed:.1f} s", flush=True)


def main() -> None:
    arguments = parser(__doc__, TrainSpec)
    arguments.add_argument("--spec", required=True, help="the settings: JSON text, or a JSON or YAML file")
    arguments.add_argument("--data", type=Path, help="folder of prepared images (none if the spec has 'dataset')")
    arguments.add_argument("--pairs", type=Path, help="folder of scripts/make_pairs.py, for regularisers")
    arguments.add_argument("--init", type=Path, help="model.pt to start from")
    arguments.add_argument("--logging", default="{}", help='as JSON, e.g. {"every": 100, "validate_every": 1000, '
                           '"validation_images": 32}; it changes nothing of the model')  # fmt: skip
    arguments.add_output("--output", help="model.pt; model_config.json and made_with.json are written beside it")
    arguments.add_output("--log", required=False, help="CSV of losses (default: training.csv beside the output)")
    arguments.add_argument("--checkpoints", type=Path, help="folder of the resumable state (default: beside the output)")
    arguments.add_argument("--save-seconds", type=float, default=60, help="time between checkpoints (default: 60)")
    add_threads(arguments)
    add_device(arguments)
    args = arguments.parse_args()
    spec, logging = read_spec(args.spec, TrainSpec), read_spec(args.logging, Logging)
    if (spec.dataset is None) != (args.data is not None):
        raise UserError("give either 'dataset' in the settings, or --data with the folder of prepared training images.")
    if (spec.pairs is None) != (args.pairs is None):
        raise UserError("give both 'pairs' in the settings and --pairs with their folder, or neither.")
    shard, device = join_processes(setup_compute(args.threads, args.device))
    with as_user_errors("the settings: "):
        trainer = make_trainer(spec, args.data, args.init, device, shard, args.pairs)
    if spec.precision != trainer.precision:
        asked = spec.precision
        print(f"this processor is not faster in {asked}: 'precision: {asked}' is computed in fp32", flush=True)
    folder = args.checkpoints or args.output.parent / "checkpoints"
    checkpoints = Checkpoints(folder, Identity(spec, checksums(spec, args.data, args.init, args.pairs)))
    try:
        if shard.rank:
            shard.wait()  # until the first process has renamed damaged states
            checkpoints.restore(trainer)
            train(trainer, checkpoints.save, log_every=logging.every)
            return
        if (lock := try_lock(folder / "lock")) is None:
            raise UserError(f"another process trains in {folder}. Wait for it, or end it, and run the same command again.")
        with lock:
            lead(trainer, checkpoints, spec, logging, args)
            write_results(trainer, args.output, args.log or args.output.with_name("training.csv"))
    except DivergenceError as error:
        raise UserError(
            f"{error}. The last good checkpoint was kept. Lower the learning rate 'lr' of that phase, or set "
            "'precision' to fp32."
        ) from error


if __name__ == "__main__":
    run_job(main)
