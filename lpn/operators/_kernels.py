"""Blur kernels: how they are made, read from files and checked, and what blurs by them share."""

import zipfile
import zlib
from collections.abc import Callable
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

    The file is an .npy file of one array (a, b) or a stack (n, a, b) or (n, 1, a, b), or an .npz archive of arrays (a, b) of
    odd sides that sum to 1, such as Levin's levin09.npz with k1 ... k8, in the order of the archive. Raises UserError if it
    is missing, damaged or has no such kernel.
    """
    try:
        if path.endswith(".npz"):
            with zipfile.ZipFile(path) as archive:
                kernels = [read_array(archive.open(name)) for name in archive.namelist()]
        else:
            array = read_array(path)
            kernels = array.reshape(-1, *array.shape[-2:]) if array.ndim >= 2 else []
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"the blur kernel {path} can't be read as a NumPy array ({error}).") from error
    if not 0 <= number < len(kernels):
        raise UserError(f"{path} holds {len(kernels)} kernels, counted from 0: there is no number {number}. It must be one "
                        "array (a, b) or a stack of them (n, a, b), saved by np.save, or an .npz archive.")  # fmt: skip
    kernel = kernels[number]
    if path.endswith(".npz"):
        if kernel.ndim != 2 or kernel.size % 2 == 0 or not abs(kernel.sum() - 1) <= 1e-3:
            raise UserError(f"{path}, kernel {number}: it must be a finite 2-D array of odd sides that sums to 1, and not "
                            f"{kernel.shape} of sum {kernel.sum():.4g}. Get the file again.")  # fmt: skip
        kernel = kernel.astype(np.float32)  # published results used the kernels in single precision
    return torch.from_numpy(kernel.astype(np.float64))


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
        description="gaussian, box, or an .npy or .npz file of kernels; blur: none for the LPN paper's Gaussian",
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
