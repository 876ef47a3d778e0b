"""Blur kernels: how they are made, read from files and checked, and the settings of blurs that name them."""

import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, WrapValidator, model_validator
from torch import Tensor

from lpn.errors import UserError
from lpn.files import read_array
from lpn.operators._base import LinearOperator, OperatorSettings
from lpn.settings import File

NAMES = ("gaussian", "box")
Made = TypeVar("Made", bound=LinearOperator)


def gaussian_side(sigma: float) -> int:
    """Return the side of `gaussian_kernel`: max(5, int(3 sigma)), or the next odd number."""
    return 2 * (max(5, int(3 * sigma)) // 2) + 1


def gaussian_kernel(sigma: float) -> Tensor:
    """Return the Gaussian kernel of the LPN paper, float64 of sum 1 with the side `gaussian_side`.

    Raises ValueError unless sigma is positive.
    """
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma must be a positive number, not {sigma}")
    radius = gaussian_side(sigma) // 2
    profile = torch.exp(-torch.arange(-radius, radius + 1, dtype=torch.float64).square() / (2 * sigma**2))
    profile /= profile.sum()
    return torch.outer(profile, profile)


def centred_kernel(name: str, side: int, sigma: float | None = None) -> Tensor:
    """Return a blur kernel, float64 (side, side) of sum 1: "gaussian", of standard deviation sigma, or "box", a constant.

    Raises ValueError for other names, a Gaussian without sigma, a box with one, and even sides, which have no centre.
    """
    if (name, sigma is None) not in (("gaussian", False), ("box", True)) or side % 2 == 0:
        raise ValueError(
            f"a kernel {name!r} of side {side} and sigma {sigma} is not known; it must be gaussian (with sigma) or box "
            "(without), of odd side"
        )
    profile = torch.ones(side, dtype=torch.float64)
    if sigma is not None:
        profile = torch.exp(-(torch.arange(side, dtype=torch.float64) - side // 2).square() / (2 * sigma**2))
    profile /= profile.sum()
    return torch.outer(profile, profile)


def read_kernel(path: str, number: int = 0) -> Tensor:
    """Return a kernel, float64 (a, b), from a file of one or of several, which are counted from 0.

    The file is an .npy file of one array (a, b) or a stack (n, a, b) or (n, 1, a, b), or an .npz archive of arrays (a, b) of
    odd sides that sum to 1, such as Levin's levin09.npz with k1 ... k8, in the order of the archive.

    Raises UserError if the file is missing, damaged or has no such kernel.
    """
    try:
        kernel, count = (_of_archive if path.endswith(".npz") else _of_array)(path, number)
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"the blur kernel {path} can't be read as a NumPy array ({error}).") from error
    if kernel is None:
        raise UserError(f"{path} holds {count} kernels, counted from 0: there is no number {number}.")
    return torch.from_numpy(kernel.astype(np.float64))


def _of_array(path: str, number: int) -> tuple[np.ndarray | None, int]:
    """Return a kernel of an .npy file, or None if it has no such one, and how many it has."""
    kernels = read_array(path)
    if kernels.ndim < 2:
        raise UserError(f"the blur kernel {path} must be one array (a, b) or a stack of them (n, a, b), saved by np.save.")
    kernels = kernels.reshape(-1, *kernels.shape[-2:])
    return (kernels[number] if 0 <= number < len(kernels) else None), len(kernels)


def _of_archive(path: str, number: int) -> tuple[np.ndarray | None, int]:
    """Return a kernel of an .npz archive, or None if it has no such one, and how many it has."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if not 0 <= number < len(names):
            return None, len(names)
        with archive.open(names[number]) as member:
            kernel = read_array(member)
    name = Path(names[number]).stem
    if kernel.ndim != 2 or not np.isfinite(kernel).all() or abs(kernel.sum() - 1) > 1e-3:
        raise UserError(f"{path}: the kernel {name} is no finite 2-D array that sums to 1. Get the file again.")
    if any(side % 2 == 0 for side in kernel.shape):
        raise UserError(f"{path}: the kernel {name} of {kernel.shape} has no centre; odd sides are needed.")
    return kernel.astype(np.float32), len(names)  # published results used the kernels in single precision


def checked_kernel(kernel: Tensor, input_shape: tuple[int, ...]) -> Tensor:
    """Return a kernel in float64, on the CPU.

    Raises ValueError unless it has two axes, is no larger than images of shape (C, H, W), and is finite.
    """
    kernel = torch.as_tensor(kernel, dtype=torch.float64, device="cpu")
    sides = input_shape[1:]
    if kernel.dim() != 2 or any(k > n for k, n in zip(kernel.shape, sides, strict=True)):
        raise ValueError(f"a blur kernel of shape {tuple(kernel.shape)} does not fit images of shape {tuple(sides)}: it "
                         "must have two axes and be no larger than the image")  # fmt: skip
    if not kernel.isfinite().all():
        raise ValueError("the blur kernel must have finite entries")
    return kernel


def _name_or_file(value: Any, file: Callable[[Any], str]) -> str:
    return value if value in NAMES else file(value)


class KernelSettings(OperatorSettings):
    """Settings of a blur: its kernel, by name or from a file.

    Attributes:
        by_sigma_alone: whether sigma without a kernel is one, too.
    """

    by_sigma_alone: ClassVar[bool] = False
    kernel: Annotated[File, WrapValidator(_name_or_file)] | None = Field(
        default=None,
        description="gaussian, box, or an .npy or .npz file of kernels; blur: none for the LPN paper's Gaussian",
    )
    sigma: PositiveFloat | None = Field(default=None, description="standard deviation of a Gaussian kernel, in pixels")
    side: PositiveInt | None = Field(default=None, description="side of a gaussian or box kernel, in pixels; odd")
    number: NonNegativeInt = Field(default=0, description="which kernel of a file of several, from 0")

    @model_validator(mode="after")
    def _names_a_kernel(self) -> Self:
        needed = {"gaussian": {"sigma", "side"}, "box": {"side"}} | ({None: {"sigma"}} if self.by_sigma_alone else {})
        given = {key for key, value in (("sigma", self.sigma), ("side", self.side)) if value is not None}
        given |= {"number"} if self.number else set()
        of_file = self.kernel not in (None, *NAMES)
        if not given <= {"number"} if of_file else needed.get(self.kernel) != given:
            paper = " or, for the LPN paper's kernel, sigma and nothing else" if self.by_sigma_alone else ""
            raise ValueError(
                f"kernel must be gaussian (with sigma and side), box (with side) or a file (with number at most){paper}; "
                f"it is {self.kernel or 'none'} with {', '.join(sorted(given)) or 'nothing'}"
            )
        if self.side is not None and self.side % 2 == 0:
            raise ValueError(f"side is {self.side}, but the side of a kernel must be odd")
        return self

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Raise ValueError if the kernel is larger than the images, as far as its side is known without its file."""
        if self.side is not None:
            self._check_side(self.side, input_shape)

    def _check_side(self, side: int, input_shape: tuple[int, ...]) -> None:
        if side > min(input_shape[1:]):
            raise ValueError(f"a blur kernel of side {side} is larger than the images, {input_shape[1]} x {input_shape[2]}")

    def _build(self, blur: Callable[[Tensor, tuple[int, ...]], Made], input_shape: tuple[int, ...]) -> Made:
        """Return the blur by the kernel that is named."""
        assert self.kernel is not None
        if self.side is not None:
            return blur(centred_kernel(self.kernel, self.side, self.sigma), input_shape)
        kernel = read_kernel(self.kernel, self.number)
        try:
            return blur(kernel, input_shape)
        except ValueError as error:
            raise UserError(f"{self.kernel}, kernel {self.number}: {error}.") from error
