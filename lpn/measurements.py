"""Measurements y = A x + noise of images: simulated, written, and read and checked."""

import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpn.errors import UserError
from lpn.files import atomic_path
from lpn.operators import LinearOperator, OperatorSettings, build_operator
from lpn.seeds import numpy_generator

IMAGES = ("start", "observed", "truth")
ARRAYS = ("y", *IMAGES)
Arrays = dict[str, np.ndarray]


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
    drawn: Arrays = field(default_factory=dict)


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
    """Write measurements to an .npz file, without pickles: truth if it is known, y, start, observed, and drawn arrays."""
    names = ("truth", "y", "start", "observed")
    arrays = {name: getattr(measurement, name) for name in names if getattr(measurement, name) is not None}
    with atomic_path(path, suffix=".npz") as temporary:
        np.savez(temporary, allow_pickle=False, **arrays, **measurement.drawn)


def read_measurement(
    path: str | Path, settings: OperatorSettings, seed: int, shape: tuple[int, ...] | None = None, draw: bool = False
) -> tuple[LinearOperator, Measurement]:
    """Read measurements, of `write_measurement` or of the user's, and build the operator that made them.

    Arrays become float32. The axis of a single image, or of a single channel, may be left out. An operator whose output has
    a last axis of 2, real and imaginary parts, takes complex y. `start` and `observed` are made if they are missing.

    Args:
        path: an .npz file, see `Measurement`; it needs y alone.
        settings: of the operator.
        seed: what a random operator is drawn from; the file must have the arrays that are drawn, unless `draw` is true.
        shape: of an image, (C, H, W); None: that of `truth`, `start` or `observed`.
        draw: whether a random operator is that of the seed where the file lacks its arrays.

    Raises UserError for a file that is damaged, or whose arrays don't fit the operator, each other, or images in [0, 1], see
    `_check_range`; and as `build_operator` does.
    """
    arrays = _read(path)
    operator = build_operator(settings, shape or _image_shape(path, arrays), seed)
    drawn = operator.arrays()
    _check_drawn(path, arrays, drawn, seed, draw)
    if unknown := arrays.keys() - {*ARRAYS, *drawn}:
        print(f"note: {path} also holds {', '.join(sorted(unknown))}: not used, only {', '.join((*ARRAYS, *drawn))} are.")
    fitted = {}
    for name in ARRAYS:
        if name in arrays:
            try:
                fitted[name] = _fitted(arrays[name], name, operator)
                _check_range(fitted[name], name, operator)
            except ValueError as error:
                raise UserError(f"the array {name} of {path} {error}.") from error
    if len({len(array) for array in fitted.values()}) > 1:
        numbers = ", ".join(f"{name} has {len(array)}" for name, array in fitted.items())
        raise UserError(f"the arrays of {path} must have the same number of images, but {numbers}.")
    y = torch.from_numpy(fitted["y"])
    for name, make in (("start", operator.initial), ("observed", operator.observed)):
        if name not in fitted:
            fitted[name] = make(y).numpy()
    return operator, Measurement(**fitted, drawn=drawn)


def _read(path: str | Path) -> Arrays:
    """Return the arrays of an .npz file. Raises UserError if it can't be read, or lacks y."""
    try:
        with Path(path).open("rb") as stream:
            if stream.read(2) != b"PK":
                raise ValueError("it is no .npz archive")
            stream.seek(0)
            arrays = dict(np.load(stream, allow_pickle=False))
        if foreign := [name for name, value in arrays.items() if not isinstance(value, np.ndarray) and "/" not in name]:
            raise ValueError(f"its member {foreign[0]} is no array")
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror or error}).") from error
    except (ValueError, EOFError, TypeError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} can't be read as measurements ({error}). Write it again, by numpy.savez(path, y=...). If "
                        "a job measured it, delete it and run the job again.") from error  # fmt: skip
    if "y" not in arrays:
        raise UserError(f"{path} lacks the array y, the measurements; it holds {', '.join(arrays) or 'nothing'}. Add it.")
    return arrays


def _image_shape(path: str | Path, arrays: Arrays) -> tuple[int, ...]:
    """Return the shape of an image, (C, H, W), from arrays (N, C, H, W) or (H, W) of images."""
    for name, shape in ((name, arrays[name].shape) for name in IMAGES if name in arrays):
        if len(shape) == 4 and shape[3] in (1, 3, 4) and shape[1] > 4:
            raise UserError(f"the array {name} of {path} has the shape {shape}, with channels last. Write all arrays with "
                            "channels after images: numpy.moveaxis(array, -1, 1).")  # fmt: skip
        if len(shape) in (2, 4):
            return (1, *shape) if len(shape) == 2 else shape[1:]
    raise UserError(f"{path} does not say the shape of an image: it has no array start, observed or truth of shape "
                    "(N, C, H, W). Add one, or give the setting 'shape': [C, H, W].")  # fmt: skip


def _check_drawn(path: str | Path, arrays: Arrays, drawn: Arrays, seed: int, draw: bool) -> None:
    """Raise UserError unless the arrays of a random operator are those that the seed draws."""
    missing = drawn.keys() - arrays.keys()
    if missing and not draw:
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}, which make the random operator. Add them, or give the "
                        f"setting 'draw': true if the seed {seed} drew it.")  # fmt: skip
    for name in drawn.keys() & arrays.keys():
        if not np.array_equal(arrays[name], drawn[name]):
            raise UserError(f"the array {name} of {path} is not what the seed {seed} draws: the operator and the seed must "
                            "be those that the measurements were made with. An operator of other numbers is a plug-in, see "
                            "docs/plug-ins.md.")  # fmt: skip


def _fitted(array: np.ndarray, name: str, operator: LinearOperator) -> np.ndarray:
    """Return an array as float32 (N, ...), as `read_measurement` says. Raises ValueError with what is wrong with it."""
    shape = operator.output_shape if name == "y" else operator.input_shape
    if array.dtype.kind == "c" and shape[-1] == 2:
        array = np.stack([np.real(array), np.imag(array)], -1)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"is {array.dtype}, but real numbers are needed")
    came, one_channel = array.shape, shape[0] == 1
    if array.shape == shape or (one_channel and array.shape == shape[1:]):
        array = array[None]
    if one_channel and array.shape[1:] == shape[1:]:
        array = array[:, None]
    if array.shape[1:] != shape or not len(array):
        raise ValueError(f"has the shape {came}; for N images of shape {operator.input_shape}, the operator's, it must be "
                         f"(N, {', '.join(map(str, shape))})")  # fmt: skip
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, order="C", copy=False)  # FFTs round by the order
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(map(int, np.unravel_index(finite.argmin(), array.shape)))
        raise ValueError(f"is {array[place]} at {place}, but all numbers must be finite in float32")
    return array


def _check_range(array: np.ndarray, name: str, operator: LinearOperator) -> None:
    """Raise ValueError if measurements, or images, are not those of images in [0, 1]; noise and signed operators have room.

    The level c of measurements y is that of the constant image which explains them best, c = <A 1, y> / ||A 1||^2. If no
    entry of A is negative, 0 <= A x <= A 1 holds for images x in [0, 1], so that c is in [0, 1], too. The level is not used
    where constants explain less than a hundredth of the energy of y. That of images is their mean, as for A = I.
    """
    ones = torch.ones(1, *operator.input_shape)
    constant = (operator(ones) if name == "y" else ones).numpy().ravel().astype(np.float64)
    flat, energy = array.reshape(len(array), -1).astype(np.float64), constant @ constant
    product = flat @ constant
    levels = product[product**2 > 0.01 * energy * (flat**2).sum(1)] / energy
    for level in [array.min(), array.max()] if name == "truth" else levels:
        if not -0.5 <= level <= 1.5:
            raise ValueError(f"is that of images with values about {level:.3g}, but images must be in [0, 1]. Scale all "
                             "arrays so that they are; divide those of images in 0..255 by 255")  # fmt: skip
