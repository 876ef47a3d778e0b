"""Blur kernels: how they are made, read from files and checked, and what blurs by them share."""

import math
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, ClassVar, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, WrapValidator, model_validator
from torch import Tensor

from lpn.errors import UserError
from lpn.files import read_array
from lpn.operators._base import LinearOperator, OperatorSettings
from lpn.settings import File

NAMES = ("gaussian", "box")


def gaussian_side(sigma: float) -> int:
    """Return the side of the LPN paper's Gaussian kernel: max(5, int(3 sigma)), or the next odd number."""
    return 2 * (max(5, int(3 * sigma)) // 2) + 1


def centred_kernel(side: int, sigma: float | None = None) -> Tensor:
    """Return a kernel, float64 (side, side) of sum 1: a Gaussian of standard deviation sigma, or without it a constant."""
    profile = torch.ones(side, dtype=torch.float64)
    if sigma is not None:
        profile = torch.exp(-(torch.arange(side, dtype=torch.float64) - side // 2).square() / (2 * sigma**2))
    profile /= profile.sum()
    return torch.outer(profile, profile)


def read_kernel(path: str, number: int = 0) -> Tensor:
    """Return a kernel, float64 (a, b), from a file of one or of several, which are counted from 0.

    A sum that is not 1 to 1e-3 is divided out, and a note is printed. The file is

    - .npy: one array (a, b), or a stack (n, a, b) or (n, 1, a, b);
    - .npz: an archive of arrays (a, b), such as Levin's levin09.npz with k1 ... k8, in their order;
    - .mat up to version 7: one variable, an array (a, b) or a cell of them, or several with the kernel in `f`, as Levin's;
    - .txt or .csv: rows of numbers, between blanks or commas;
    - .png, .tif, .tiff or .bmp: a grey picture, whose values are in proportion to the kernel's.

    Raises UserError if it is missing, damaged, of another kind, or has no such kernel, and for one without positive sum.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in READERS:
        raise UserError(f"the blur kernel {path} must be a file {', '.join(READERS)}. Convert it.")
    try:
        kernels = [*READERS[suffix](path)]
    except (OSError, ValueError, RuntimeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"the blur kernel {path} can't be read ({error}).") from error
    if not 0 <= number < len(kernels):
        raise UserError(
            f"{path} holds {len(kernels)} kernel{'s' * (len(kernels) != 1)}, counted from 0: there is no number {number}."
        )
    place, array = f"{path}, kernel {number}", np.asarray(kernels[number])
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise UserError(f"{place}: it is {array.dtype} {array.shape}, and not an array (a, b) of real numbers.")
    single = suffix == ".npz"  # published results used these kernels in single precision
    kernel = torch.from_numpy(array.astype(np.float32 if single else np.float64)).double()
    total = kernel.sum().item()
    if not 0 < total < math.inf:
        raise UserError(f"{place}: the sum of a kernel must be positive and finite, and is {total:.4g}.")
    if abs(total - 1) >= 1e-3:
        print(f"note: {place}, sums to {total:.4g}: it is divided by that.")
        kernel /= total
    return kernel


def _in_npy(path: str) -> Iterable[np.ndarray]:
    array = read_array(path)
    if array.ndim == 2:
        return [array]
    if array.ndim == 4 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim != 3 or (array.shape[2] in (1, 3, 4) and array.shape[2] < array.shape[1]):
        raise ValueError(f"its array has the shape {array.shape}: it must be one kernel (a, b) without colours, or a stack "
                         "(n, a, b) or (n, 1, a, b)")  # fmt: skip
    return array


def _in_npz(path: str) -> Iterable[np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        return [read_array(archive.open(name)) for name in archive.namelist()]


def _in_mat(path: str) -> Iterable[np.ndarray]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        variables = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    except NotImplementedError as error:
        raise ValueError("it is of MATLAB's version 7.3; write it by save(..., '-v7')") from error
    except MatReadError as error:
        raise ValueError(error) from error
    names = ["f"] if "f" in variables else [*variables]
    if len(names) != 1:
        raise ValueError(f"it has the variables {', '.join(names) or 'none'}; save the kernel alone, or as f")
    value = variables[names[0]]
    return value.ravel() if value.dtype == object else [value]


def _in_text(path: str) -> Iterable[np.ndarray]:
    text = Path(path).read_text("utf-8-sig")
    if not text.strip():
        raise ValueError("it has no numbers")
    return [np.loadtxt(text.splitlines(), delimiter="," if "," in text else None, ndmin=2)]


def _in_picture(path: str) -> Iterable[np.ndarray]:
    from PIL import Image

    with Image.open(path) as image:
        if image.mode not in ("1", "L", "F") and not image.mode.startswith("I"):
            raise ValueError(f"it is a picture of mode {image.mode}; convert it to grey without an alpha channel")
        if getattr(image, "n_frames", 1) > 1:
            raise ValueError("it has several pages; save the kernel alone")
        return [np.asarray(image).astype(np.float64)]


PICTURES = (".png", ".tif", ".tiff", ".bmp")
READERS: dict[str, Callable[[str], Iterable[np.ndarray]]] = {
    ".npy": _in_npy,
    ".npz": _in_npz,
    ".mat": _in_mat,
    ".txt": _in_text,
    ".csv": _in_text,
    **dict.fromkeys(PICTURES, _in_picture),
}


def checked_kernel(kernel: Tensor, input_shape: tuple[int, ...]) -> Tensor:
    """Return a kernel in float64, on the CPU. Raises ValueError unless it is finite and fits images of shape (C, H, W)."""
    kernel = torch.as_tensor(kernel, dtype=torch.float64, device="cpu")
    shape, sides = tuple(kernel.shape), tuple(input_shape[1:])
    if len(shape) != 2 or shape[0] > sides[0] or shape[1] > sides[1] or not kernel.isfinite().all():
        raise ValueError(f"a blur kernel of shape {shape} does not fit images of shape {sides}: it must have two axes and "
                         "finite entries, and be no larger than the image")  # fmt: skip
    return kernel


class Convolution(LinearOperator):
    """A = F^{-1} diag(spectrum) F Z of each channel, F the 2-D DFT and Z zero padding to `padded`, cut to the output."""

    def __init__(
        self, input_shape: tuple[int, ...], output_shape: tuple[int, ...], spectrum: Tensor, padded: list[int]
    ) -> None:
        super().__init__(input_shape, output_shape)
        self._padded, self._spectrum, self._power = padded, spectrum, spectrum.abs().square()

    def _filter(self, x: Tensor, spectrum: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return the first entries, as many as `shape` has, of the padded x after multiplication by `spectrum`."""
        filtered = torch.fft.irfft2(torch.fft.rfft2(x, s=self._padded) * spectrum, s=self._padded)
        return filtered[..., : shape[1], : shape[2]]

    def _forward(self, x: Tensor) -> Tensor:
        return self._filter(x, self._constant("_spectrum", x), self.output_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._filter(y, self._constant("_spectrum", y).conj(), self.input_shape)

    def _normal(self, x: Tensor) -> Tensor:
        return self._filter(x, self._constant("_power", x), self.input_shape)

    def preconditioner(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        """Return Z^T (weight K^T K + rho I)^{-1} Z, with K = F^{-1} diag(spectrum) F."""
        inverse = 1 / (weight * self._power + rho)
        return lambda r: self._filter(r, inverse.to(r), self.input_shape)


class KernelSettings(OperatorSettings):
    """Settings of a blur: its kernel, by name or from a file."""

    blur: ClassVar[type]  # the operator, made of a kernel and the shape of the images
    by_sigma_alone: ClassVar[bool] = False  # whether sigma without a kernel is one, too
    kernel: Annotated[File, WrapValidator(lambda value, file: value if value in NAMES else file(value))] | None = Field(
        default=None,
        description="gaussian, box, or a file of arrays, text or a grey picture; blur: none for the LPN paper's Gaussian",
    )
    sigma: PositiveFloat | None = Field(default=None, description="standard deviation of a Gaussian kernel, in pixels")
    side: PositiveInt | None = Field(default=None, description="side of a gaussian or box kernel, in pixels; odd")
    number: NonNegativeInt = Field(default=0, description="which kernel of a file of several, from 0")

    @model_validator(mode="after")
    def _names_a_kernel(self) -> Self:
        needed = {"gaussian": {"sigma", "side"}, "box": {"side"}, None: {"sigma"} if self.by_sigma_alone else None}
        given = {key for key in ("sigma", "side", "number") if getattr(self, key)}
        if given != needed[self.kernel] if self.kernel in needed else not given <= {"number"}:
            paper = " or, for the LPN paper's kernel, sigma and nothing else" if self.by_sigma_alone else ""
            raise ValueError("kernel must be gaussian (with sigma and side), box (with side) or a file (with number at most)"
                             f"{paper}; it is {self.kernel or 'none'} with {', '.join(sorted(given)) or 'nothing'}"
                             )  # fmt: skip
        if self.side and self.side % 2 == 0:
            raise ValueError(f"side is {self.side}, but the side of a kernel must be odd")
        return self

    @property
    def _side(self) -> int | None:
        """The side of the kernel, None if only its file knows."""
        return gaussian_side(self.sigma) if self.sigma and not self.kernel else self.side

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Raise ValueError if the kernel is larger than the images, as far as its side is known without its file."""
        if self._side and self._side > min(input_shape[1:]):
            raise ValueError(f"a blur kernel of side {self._side} is larger than the images, {input_shape[1]} x "
                             f"{input_shape[2]}")  # fmt: skip

    def build(self, input_shape: tuple[int, ...], seed: int) -> LinearOperator:
        """Return the blur for images of shape (C, H, W). Raises UserError if the kernel's file is unfit."""
        if self._side:
            return self.blur(centred_kernel(self._side, self.sigma), input_shape)
        kernel = read_kernel(str(self.kernel), self.number)
        try:
            return self.blur(kernel, input_shape)
        except ValueError as error:
            raise UserError(f"{self.kernel}, kernel {self.number}: {error}.") from error
