"""Deblurring: circular convolution ("Learning Proximal Operators", Meinhardt et al., ICCV 2017, section 5)."""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from lpn.operators._base import LinearOperator
from lpn.operators._kernels import NAMES, KernelSettings, checked_kernel


class CircularBlur(LinearOperator):
    """Circular convolution of each channel with a centred kernel: A = F^{-1} diag(k^) F, so measurements are images.

    The blur of Meinhardt et al. 2017 starts its iterations at the measurements, so these have the size of the image. They
    measure the PSNR away from the border, as another boundary would differ there. With the 2-D DFT every x-step is exact.

    Args:
        kernel: (a, b), finite, of sum 1, no larger than the image; its centre is entry (a // 2, b // 2).
        input_shape: (C, H, W).

    Raises ValueError for other kernels.
    """

    def __init__(self, kernel: Tensor, input_shape: tuple[int, ...]) -> None:
        kernel = checked_kernel(kernel, input_shape)
        if abs(kernel.sum() - 1) >= 1e-3:
            raise ValueError(f"the blur kernel must sum to 1, not to {kernel.sum():.4g}. Divide it by its sum")
        super().__init__(input_shape, input_shape)
        padded = torch.zeros(input_shape[1:], dtype=torch.float64)
        padded[: kernel.shape[0], : kernel.shape[1]] = kernel
        self._spectrum = torch.fft.rfft2(padded.roll([-(k // 2) for k in kernel.shape], (0, 1)))
        self._power = self._spectrum.abs().square()

    @cached_property
    def norm(self) -> float:
        """||A||, the largest |k^|: 1 for kernels without negative entries."""
        return self._spectrum.abs().max().item()

    def _filter(self, x: Tensor, spectrum: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x) * spectrum, s=x.shape[-2:])

    def _forward(self, x: Tensor) -> Tensor:
        return self._filter(x, self._constant("_spectrum", x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._filter(y, self._constant("_spectrum", y).conj())

    def _normal(self, x: Tensor) -> Tensor:
        return self._filter(x, self._constant("_power", x))

    def initial(self, y: Tensor) -> Tensor:
        """Return y, which has the size of the image."""
        return y

    def inverse(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        """Return the inverse, which the DFT diagonalises too."""
        values = 1 / (weight * self._power + rho)
        return lambda r: self._filter(r, values.to(r))


class CircularBlurSettings(KernelSettings):
    """Circular convolution with a centred kernel of sum 1."""

    @property
    def known_norm(self) -> float | None:
        """||A||: 1 for kernels without negative entries."""
        return 1.0 if self.kernel in NAMES else None

    def build(self, input_shape: tuple[int, ...], seed: int) -> CircularBlur:
        """Return the blur for images of shape (C, H, W). Raises UserError if the kernel's file is unfit."""
        return self._build(CircularBlur, input_shape)
