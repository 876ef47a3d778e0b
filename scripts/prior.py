"""Evaluate the learned prior at test images under one perturbation, at each of its levels, in float64.

Writes R as CSV (a row for each level and image; not shifted), with the relative residual of the inversion, and as .npz the
arrays perturbed, x, inverse, y = f^{-1}(x), mapped_back, f(y), and residual, indexed [level, image]. Images that are larger
than the network's input are cut to their centres.

example:
  python scripts/prior.py --model results/demo/models/mnist_small/model.pt --data data/prepared/mnist
      --spec '{"model": "mnist_small", "perturbation": "gaussian", "levels": [0, 0.1], "images": 100, "seed": 0,
      "method": "quasi_newton", "tolerance": 1e-6, "max_iterations": 200}' --output gaussian.csv --arrays gaussian.npz
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from _cli import as_user_errors, run_job
from _priors import read_arguments
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator
from tqdm import tqdm

from lpn.errors import UserError
from lpn.files import atomic_path
from lpn.images import centre, read_images
from lpn.networks import LPN
from lpn.perturb import PERTURBATIONS
from lpn.prior import METHODS, invert, regulariser
from lpn.settings import Settings


class PriorSpec(Settings):
    """One evaluation of a prior."""

    model: str = Field(description="name of the model, for the column model")
    perturbation: Literal[tuple(PERTURBATIONS)] = Field(description="the corruption")  # type: ignore[valid-type]
    levels: list[NonNegativeFloat] = Field(min_length=1, description="levels of the perturbation, all different")
    images: PositiveInt = Field(description="number of test images, the first ones")
    seed: int = Field(description="seed of the Gaussian noise")
    method: Literal[METHODS] = Field(default="quasi_newton", description="method of inversion")  # type: ignore[valid-type]
    tolerance: PositiveFloat = Field(default=1e-6, description="tolerance on the relative residual of the inversion")
    max_iterations: PositiveInt = Field(default=200, description="largest number of iterations of the inversion")

    @field_validator("levels")
    @classmethod
    def _differ(cls, levels: list[float]) -> list[float]:
        if len(set(levels)) < len(levels):
            raise ValueError(f"the levels {levels} are not all different")
        return levels


def clean_images(path: Path, model: LPN, count: int) -> np.ndarray:
    """Return the first `count` images, cut to the model's input, (count, C, H, W) in [0, 1], float64."""
    images = read_images(path, 0, count)
    channels, side = model.input_shape[0], model.input_shape[-1]
    assert side is not None  # LPNs have a size
    if images.shape[1] != channels:
        raise UserError(
            f"{path} holds images of {images.shape[1]} channels, but the model needs {channels}. "
            "Give the data set that it was trained on."
        )
    with as_user_errors(f"{path}: "):
        cut = centre(torch.from_numpy(images), side).numpy()
    return cut / 255.0 if cut.dtype == np.uint8 else cut.astype(np.float64)


def main() -> None:
    args, spec, model, device = read_arguments(__doc__, PriorSpec)
    clean = clean_images(args.data / "test.npy", model, spec.images)

    tables: list[pd.DataFrame] = []
    arrays: list[list[np.ndarray]] = []
    for level in tqdm(spec.levels, desc=spec.perturbation, unit="level"):
        x = torch.from_numpy(PERTURBATIONS[spec.perturbation](clean, level, spec.seed)).to(device)
        inversion = invert(model, x, spec.method, spec.tolerance, spec.max_iterations)
        worst = inversion.residual.max().item()
        if not worst <= 1e-3:
            raise UserError(
                f"the inversion of {args.model} at {spec.perturbation} level {level:g} stopped at a relative residual of "
                f"{worst:.2g}, too much for an exact prior. Raise 'max_iterations', or use the method quasi_newton."
            )
        with torch.no_grad():
            values = (x, inversion.y, model(inversion.y), inversion.residual)
        arrays.append([value.cpu().numpy() for value in values])
        table = pd.DataFrame({"level": level, "image": range(len(clean))})
        table["regulariser"] = regulariser(model, x, inversion.y).cpu().numpy()
        tables.append(table.assign(residual=arrays[-1][-1]))
    prior = pd.concat(tables)
    prior.insert(0, "model", spec.model)
    prior.insert(1, "perturbation", spec.perturbation)
    names = ("perturbed", "inverse", "mapped_back", "residual")
    stacked: dict[str, Any] = dict(zip(names, map(np.stack, zip(*arrays, strict=True)), strict=True))
    with atomic_path(args.arrays, suffix=".npz") as temporary:
        np.savez_compressed(temporary, **stacked)
    with atomic_path(args.output) as temporary:
        prior.to_csv(temporary, index=False, float_format="%.9g")


if __name__ == "__main__":
    run_job(main)
