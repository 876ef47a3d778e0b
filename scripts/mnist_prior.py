"""Evaluate the learned prior at MNIST test images under one perturbation, at each of its levels, in float64.

Writes R as CSV (a column a level, a row an image; not shifted) and, as .npz, x, y = f^{-1}(x), f(y) and the relative
inversion residuals, indexed [level, image].

example:
  python scripts/mnist_prior.py --model results/demo/models/mnist/model.pt --data data/prepared/mnist
      --spec '{"perturbation": "gaussian", "levels": [0, 0.1], "images": 100, "seed": 0, "method": "newton_cg",
      "tolerance": 1e-6, "max_iterations": 200}' --output gaussian.csv --arrays gaussian.npz
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _cli import add_device, add_threads, parser, read_spec, setup_compute
from tqdm import tqdm

from lpn.checkpoints import load_model
from lpn.data import load_images
from lpn.errors import UserError, run_cli
from lpn.files import atomic_path
from lpn.perturb import PERTURBATIONS
from lpn.prior import invert, log_prior


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="perturbation, levels, images, seed and the inversion's settings")
    arguments.add_argument("--model", required=True, help="model.pt, with model_config.json beside it")
    arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared MNIST")
    arguments.add_argument("--output", required=True, help="CSV file of R")
    arguments.add_argument("--arrays", required=True, help=".npz file of x, y, f(y) and residuals")
    add_threads(arguments)
    add_device(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec, "perturbation", "levels", "images", "seed", "method", "tolerance", "max_iterations")
    device = setup_compute(args.threads, args.device)
    model = load_model(args.model).double().to(device)
    clean = load_images(args.data / "test.npy")[: spec["images"]] / 255.0

    columns, arrays, shift = {}, [], 0.0
    for level in tqdm(spec["levels"], desc=spec["perturbation"], unit="level"):
        x = torch.from_numpy(PERTURBATIONS[spec["perturbation"]](clean, level, spec["seed"])).to(device)
        inversion = invert(model, x, spec["method"], spec["tolerance"], spec["max_iterations"], start=x + shift)
        shift = inversion.y - x  # the next level's is alike: a quarter fewer products with the Jacobian
        worst = inversion.residual.max().item()
        if not worst <= 1e-3:
            raise UserError(
                f"the inversion of {args.model} at {spec['perturbation']} level {level} stopped at a relative residual of "
                f"{worst:.2g}, too much for an exact prior. Raise 'mnist.inversion.max_iterations' in the config, or use "
                "the method newton_cg."
            )
        columns[str(level)] = log_prior(model, x, inversion.y).cpu().numpy()
        with torch.no_grad():
            arrays.append([part.cpu().numpy() for part in (x, inversion.y, model(inversion.y), inversion.residual)])
    with atomic_path(args.arrays, suffix=".npz") as temporary:
        names = ("x", "y", "fy", "residual")
        np.savez_compressed(temporary, **dict(zip(names, map(np.stack, zip(*arrays, strict=True)), strict=True)))
    with atomic_path(args.output) as temporary:
        pd.DataFrame(columns).to_csv(temporary, index_label="image", float_format="%.9g")


if __name__ == "__main__":
    run_cli(main)
