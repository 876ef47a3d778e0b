"""Deblurring: circular convolution ("Learning Proximal Operators", Meinhardt et al., ICCV 2017, section 5)."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from lpn.operators._kernels import NAMES, Convolution, KernelSettings, checked_kernel


class CircularBlur(Convolution):
    """Circular convolution of each channel with a centred kernel: A = F^{-1} diag(k^) F, so measurements are images.

    The blur of Meinhardt et al. 2017 starts its iterations at the measurements, so these have the size of the image. They
    measure the PSNR away from the border, as another boundary would differ there. With the 2-D DFT every x-step is exact.

    A kernel (a, b) must be finite, of sum 1 and no larger than the images, or ValueError is raised. Its centre is entry
    (a // 2, b // 2).
    """

    def __init__(self, kernel: Tensor, input_shape: tuple[int, ...]) -> None:
        kernel = checked_kernel(kernel, input_shape)
        if abs(kernel.sum() - 1) >= 1e-3:
            raise ValueError(f"the blur kernel must sum to 1, not to {kernel.sum():.4g}. Divide it by its sum")
        image = torch.zeros(input_shape[1:], dtype=torch.float64)
        image[: kernel.shape[0], : kernel.shape[1]] = kernel
        spectrum = torch.fft.rfft2(image.roll([-(k // 2) for k in kernel.shape], (0, 1)))
        super().__init__(input_shape, input_shape, spectrum, list(input_shape[1:]))
        self.norm = spectrum.abs().max().item()  # 1 for kernels without negative entries

    def initial(self, y: Tensor) -> Tensor:
        """Return y, which has the size of the image."""
        return y

    def inverse(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        return self.preconditioner(weight, rho)  # nothing is padded


class CircularBlurSettings(KernelSettings):
    """Circular convolution with a centred kernel of sum 1."""

    blur: ClassVar[type] = CircularBlur

    @property
    def known_norm(self) -> float | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """||A||: 1 for kernels without negative entries."""
        return 1.0 if self.kernel in NAMES else None
