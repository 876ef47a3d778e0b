"""Reconstruct images from their measurements by one method, and record every iteration.

Writes, per image, the PSNR and SSIM of the result and the arithmetic behind it (--images), the same and the residuals, data
term, exact regulariser and objective of every iteration (--iterations; 0 is the start), and the reconstructions (--arrays).
Measurements hold y, of the operator's shape, and arrays (images, channels, height, width): truth, without which there are no
PSNR and SSIM; start, where the solver begins; and observed, what a method without a solver shows. The last two are made if
they are missing. A random operator has its own arrays, too: filter, sign and rows are those of compressed sensing.

example:
  python scripts/reconstruct.py --measurement m.npz --model results/paper/models/lpn_celeba_0.1/model.pt
      --images images.csv --iterations iterations.csv --arrays x.npz
      --spec '{"operator": {"name": "blur", "sigma": 1.0}, "seed": 0, "clip": false, "method": {"solver": {"name": "admm",
      "rho": 0.1}, "prox": {"model": "lpn_celeba_0.1"}, "scale": 0.5, "iterations": 20}}'
"""

from pathlib import Path

import numpy as np
from _cli import as_user_errors, read_spec, run_job
from _specs import MethodSpec, method_parser, read_parts
from pydantic import Field, NonNegativeInt
from tqdm import tqdm

from lpn.checkpoints import made_with
from lpn.experiment import reconstruct, record, summarise
from lpn.files import atomic_path
from lpn.grid import Chosen
from lpn.record import USED


class ReconstructSpec(MethodSpec):
    """A reconstruction; the names and the number are those in its tables."""

    experiment: str = Field(default="", description="name of the experiment, a column of the tables")
    method_name: str = Field(default="", description="name of the method, the column 'method' of the tables")
    first: NonNegativeInt = Field(default=0, description="number of the first image")


def arithmetic(trained: str | None) -> str:
    """Return in words which precision the method computed in, and its network was trained in, if that is not fp32."""
    return USED["precision"] + (f", trained in {trained}" if trained not in (None, "fp32") else "")


def main() -> None:
    arguments = method_parser(__doc__, ReconstructSpec)
    arguments.add_argument("--tuned", type=Path, help="JSON file of scripts/choose.py: parameters of the method")
    arguments.add_output("--images", help="CSV file, a row per image")
    arguments.add_output("--iterations", help="CSV file, a row per image and iteration")
    arguments.add_output("--arrays", help=".npz file of the reconstructions")
    args = arguments.parse_args()
    spec = read_spec(args.spec, ReconstructSpec)
    tuned = read_spec(str(args.tuned), Chosen).parameters if args.tuned else {}
    parts = read_parts(args, spec)
    trained = made_with(args.model)["precision"] if args.model else None
    with as_user_errors(f"the method{f' with {args.model}' if args.model else ''}: "):
        method = spec.method.at(tuned)
        total = 1 + (method.iterations or 0)
        steps = tqdm(reconstruct(method, **parts), total=total, unit="iteration", mininterval=5)
        image, iterations = record(steps, spec.first)
    with atomic_path(args.arrays, suffix=".npz") as temporary:
        np.savez_compressed(temporary, reconstruction=image.float().cpu().numpy())
    images = summarise(iterations, tuned).assign(precision=arithmetic(trained))
    for path, table in {args.images: images, args.iterations: iterations}.items():
        table.insert(0, "experiment", spec.experiment)
        table.insert(1, "method", spec.method_name)
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.9g")


if __name__ == "__main__":
    run_job(main)
