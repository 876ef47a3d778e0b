"""Measurements y = A x + noise of images: simulated, written and read."""

import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpn.errors import UserError
from lpn.files import atomic_path
from lpn.operators import LinearOperator
from lpn.seeds import numpy_generator

ARRAYS = ("y", "start", "observed")


@dataclass(frozen=True)
class Measurement:
    """Measurements of N images, all finite.

    Attributes:
        y: the measurements, float32 (N, *output_shape).
        start: where solvers begin, float32 (N, C, H, W).
        observed: the measurements as images, float32 (N, C, H, W).
        truth: the images x, float32 (N, C, H, W), if they are known.
        drawn: the arrays of a random operator, `LinearOperator.arrays`.
    """

    y: np.ndarray
    start: np.ndarray
    observed: np.ndarray
    truth: np.ndarray | None = None
    drawn: dict[str, np.ndarray] = field(default_factory=dict)

    def check_operator(self, operator: LinearOperator) -> None:
        """Raise ValueError unless the operator has the shapes, and the drawn arrays, of the one that measured."""
        drawn = operator.arrays()
        same = all(name in self.drawn and np.array_equal(self.drawn[name], array) for name, array in drawn.items())
        if self.y.shape[1:] != operator.output_shape or not same:
            raise ValueError(
                f"measurements of shape {tuple(self.y.shape[1:])} don't fit the operator, which gives "
                f"{operator.output_shape}: the operator and the seed must be those that they were made with"
            )


def simulate(x: Tensor, operator: LinearOperator, noise: float, seed: int, split: str, first: int = 0) -> Measurement:
    """Measure images x, float32 (N, C, H, W), with white noise of standard deviation `noise`.

    The noise of image i, counted from `first`, depends on the seed, the split and i alone.
    """
    clean = operator(x)
    draws = [numpy_generator(seed, "noise", split, i) for i in range(first, first + len(x))]
    normal = [draw.standard_normal(clean.shape[1:]) for draw in draws]
    y = clean + noise * torch.from_numpy(np.stack(normal)).float()
    start, observed = operator.initial(y), operator.observed(y)
    return Measurement(y.numpy(), start.numpy(), observed.numpy(), x.numpy(), operator.arrays())


def write_measurement(path: str | Path, measurement: Measurement) -> None:
    """Write measurements to an .npz file, without pickles: y, start, observed, truth if it is known, and drawn arrays."""
    arrays = {name: getattr(measurement, name) for name in ("truth", *ARRAYS) if getattr(measurement, name) is not None}
    with atomic_path(path, suffix=".npz") as temporary:
        np.savez(temporary, allow_pickle=False, **arrays, **measurement.drawn)


def read_measurement(path: str | Path) -> Measurement:
    """Read the file of `write_measurement`. Raises UserError if it is damaged, incomplete, or not finite."""
    remedy = "Delete it and make it again."
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} can't be read as measurements ({error}). {remedy}") from error
    for name in (*ARRAYS, *({"truth"} & arrays.keys())):
        if name not in arrays:
            raise UserError(f"{path} lacks the array {name}; measurements hold {', '.join(ARRAYS)}. {remedy}")
        if not np.isfinite(arrays[name]).all():
            raise UserError(f"the array {name} of {path} holds NaN or infinite values. {remedy}")
    return Measurement(**{name: arrays.pop(name) for name in (*ARRAYS, "truth") if name in arrays}, drawn=arrays)
