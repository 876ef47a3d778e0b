"""Deblurring: full convolution, with measurements larger than the image (LPN paper, section 5)."""

import math
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from lpn.operators._kernels import Convolution, KernelSettings, checked_kernel


class Blur(Convolution):
    """Full linear convolution of each channel with a kernel (a, b): an image (H, W) becomes (H + a - 1, W + b - 1).

    A = K Z, with Z zero padding and K a circular convolution, which the 2-D DFT diagonalises. The padding is at least the
    kernel's side less one, so nothing wraps around in A, nor in the rows of K^T K that are inside the image: A^T A is
    Z^T K^T K Z, one transform there and back.

    A kernel (a, b) must be finite, of nonzero sum and no larger than the images, or ValueError is raised.
    """

    def __init__(self, kernel: Tensor, input_shape: tuple[int, ...]) -> None:
        from scipy.fft import next_fast_len

        self.kernel = checked_kernel(kernel, input_shape)
        if self.kernel.sum() == 0:
            raise ValueError("the blur kernel must have a nonzero sum")
        output = [n + k - 1 for n, k in zip(input_shape[1:], self.kernel.shape, strict=True)]
        padded: list[Any] = [next_fast_len(n, real=True) for n in output]
        super().__init__(input_shape, (input_shape[0], *output), torch.fft.rfft2(self.kernel, s=padded), padded)

    def observed(self, y: Tensor) -> Tensor:
        """Return the part of y over the image."""
        top, left = ((k - 1) // 2 for k in self.kernel.shape)
        return y[..., top : top + self.input_shape[1], left : left + self.input_shape[2]]

    @cached_property
    def _factors(self) -> list[tuple[Tensor, Tensor]] | None:
        """Eigenvalues and eigenvectors of the two factors of A^T A if the kernel is separable (of rank 1), else None.

        A kernel u v^T makes A the Kronecker product T(u) x T(v) of two Toeplitz matrices, and T(u)^T T(u) is the Toeplitz
        matrix of the autocorrelation of u.
        """
        left, values, right = torch.linalg.svd(self.kernel)
        if values[1:].sum() > 1e-6 * values[0]:
            return None
        factors = []
        for profile, size in [(left[:, 0], self.input_shape[1]), (right[0], self.input_shape[2])]:
            row = torch.zeros(size, dtype=torch.float64)
            for lag in range(len(profile)):
                row[lag] = values[0] * profile[lag:] @ profile[: len(profile) - lag]
            position = torch.arange(size)
            factors.append(torch.linalg.eigh(row[(position[:, None] - position).abs()]))
        return factors

    @cached_property
    def norm(self) -> float:
        """||A||: in closed form for separable kernels, else as `LinearOperator.norm`."""
        if self._factors is None:
            return super().norm
        (rows, _), (columns, _) = self._factors
        return math.sqrt(rows[-1] * columns[-1])

    def inverse(self, weight: float, rho: float) -> Callable[[Tensor], Tensor] | None:
        """Return the inverse in the eigenvectors of `_factors` for separable kernels, else None."""
        if self._factors is None:
            return None
        (rows, left), (columns, right) = self._factors
        values = 1 / (weight * torch.outer(rows, columns) + rho)

        @cache
        def constants(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
            return [tensor.to(device, dtype).contiguous() for tensor in (left, left.T, right, right.T, values)]

        def solve(r: Tensor) -> Tensor:
            q, q_transposed, p, p_transposed, scale = constants(r.device, r.dtype)
            return q @ (q_transposed @ r @ p).mul_(scale) @ p_transposed

        return solve


class BlurSettings(KernelSettings):
    """Full linear convolution with a kernel; with sigma alone, the LPN paper's Gaussian kernel."""

    by_sigma_alone: ClassVar[bool] = True
    blur: ClassVar[type] = Blur
