"""Evaluate a scalar LPN on a grid: its prox f, potential psi and regulariser R, and the truth for the Laplace density.

psi and R are shifted so that their minimum over the grid and 0 is 0.

example:
  python scripts/curves.py --model results/demo/models/laplacian_l1/model.pt --output l1.csv
      --spec '{"model": "laplacian_l1", "low": -4, "high": 4, "points": 100, "sigma": 1}'
"""

import pandas as pd
import torch
from _cli import parser, read_spec, run_job, setup_compute
from pydantic import Field, PositiveFloat, model_validator

from lpn import laplacian
from lpn.checkpoints import load_model
from lpn.errors import UserError
from lpn.files import atomic_path
from lpn.networks import LPN
from lpn.prior import invert, regulariser
from lpn.settings import Settings


class CurveSpec(Settings):
    """Where to evaluate a scalar model."""

    model: str = Field(description="name of the model, for the column model")
    low: float = Field(description="start of the grid")
    high: float = Field(description="end of the grid")
    points: int = Field(ge=2, description="number of points of the grid")
    sigma: PositiveFloat | None = Field(
        default=None,
        description="adds the truth: standard deviation of the noise in training, if samples have the Laplace density",
    )

    @model_validator(mode="after")
    def _low_is_below_high(self) -> "CurveSpec":
        if self.low >= self.high:
            raise ValueError(f"'low' is {self.low:g}, not below 'high', {self.high:g}")
        return self


def evaluate(model: LPN, path: str, spec: CurveSpec) -> pd.DataFrame:
    """Return the curves, a row for each point of the grid. Raises UserError if the model can't be inverted there."""
    grid = torch.linspace(spec.low, spec.high, spec.points, dtype=torch.float64)
    x = torch.cat([grid, torch.zeros(1)])[:, None]
    inversion = invert(model, x, tolerance=1e-8)
    if not inversion.residual.max() <= 1e-3:
        worst = x[inversion.residual.argmax()].item()
        raise UserError(
            f"{path} can't be inverted at x = {worst:g} (relative residual {inversion.residual.max():.2g}): its range does "
            "not cover the grid. Train it longer, or choose a smaller grid."
        )
    curves = {
        "prox": (model(x)[:, 0], laplacian.prox),
        "potential": (model.potential(x), laplacian.potential),
        "regulariser": (regulariser(model, x, inversion.y), laplacian.regulariser),
    }
    table = pd.DataFrame({"model": spec.model, "x": x[:, 0].numpy()})
    for name, (values, truth) in curves.items():
        table[name] = values.numpy() - (0 if name == "prox" else values.min().item())
        if spec.sigma is not None:
            table[f"{name}_true"] = truth(x, spec.sigma)[:, 0].numpy()
    return table.assign(residual=inversion.residual.numpy()).head(len(grid))


def main() -> None:
    arguments = parser(__doc__, CurveSpec)
    arguments.add_argument("--spec", required=True, help="the settings: JSON text or a file")
    arguments.add_argument("--model", required=True, help="model.pt, with model_config.json beside it")
    arguments.add_output("--output", help="CSV file to write")
    args = arguments.parse_args()
    spec = read_spec(args.spec, CurveSpec)
    setup_compute(1, "cpu")
    model = load_model(args.model).double()
    if not isinstance(model, LPN) or model.input_shape != (1,):
        raise UserError(f"{args.model} is no learned proximal network of numbers. Give the model.pt of an lpn_scalar.")
    curves = evaluate(model, args.model, spec)
    with atomic_path(args.output) as temporary:
        curves.to_csv(temporary, index=False, float_format="%.9g")


if __name__ == "__main__":
    run_job(main)
