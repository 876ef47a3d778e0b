"""Evaluate a 1-D model on a grid: its prox, potential and prior, beside the truth for the Laplace density.

Truth, for training noise sigma: soft thresholding at t = sigma^2, psi = max(|x| - t, 0)^2 / 2 and R = t |x|. The learned psi
and R are shifted so that their minimum over the grid and 0 is 0.

example:
  python scripts/laplacian_curves.py --model results/demo/models/laplacian_l1/model.pt --output l1.csv
      --spec '{"low": -4, "high": 4, "points": 100, "sigma": 1}'
"""

import pandas as pd
import torch
from _cli import parser, read_spec

from lpn.checkpoints import load_model
from lpn.errors import UserError, run_cli
from lpn.files import atomic_path
from lpn.prior import invert, log_prior


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="low, high, points of the grid, and sigma")
    arguments.add_argument("--model", required=True, help="model.pt, with model_config.json beside it")
    arguments.add_argument("--output", required=True, help="CSV file to write")
    args = arguments.parse_args()
    spec = read_spec(args.spec, "low", "high", "points", "sigma")
    torch.set_num_threads(1)
    model = load_model(args.model).double()
    grid = torch.linspace(spec["low"], spec["high"], spec["points"], dtype=torch.float64)
    x = torch.cat([grid, torch.zeros(1)])[:, None]
    threshold = spec["sigma"] ** 2
    inversion = invert(model, x, tolerance=1e-8)
    if not inversion.residual.max() <= 1e-3:
        worst = x[inversion.residual.argmax()].item()
        raise UserError(
            f"{args.model} can't be inverted at x = {worst:g} (relative residual {inversion.residual.max():.2g}): its range "
            "does not cover the grid. Train it longer, or narrow 'laplacian.grid' in the config."
        )
    curves = pd.DataFrame(
        {
            "x": x[:, 0],
            "prox": model(x)[:, 0],
            "prox_true": (x.sign() * (x.abs() - threshold).clamp_min(0))[:, 0],
            "potential": model.potential(x),
            "potential_true": ((x.abs() - threshold).clamp_min(0).square() / 2)[:, 0],
            "prior": log_prior(model, x, inversion.y),
            "prior_true": threshold * x.abs()[:, 0],
            "residual": inversion.residual,
        }
    )
    for name in ("potential", "prior"):
        curves[name] -= curves[name].min()
    with atomic_path(args.output) as temporary:
        curves[: len(grid)].to_csv(temporary, index=False, float_format="%.9g")


if __name__ == "__main__":
    run_cli(main)
