"""Demosaicking: the Bayer mosaic of a camera ("Learning Proximal Operators", Meinhardt et al., ICCV 2017, section 5)."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lpn.operators._base import LinearOperator, OperatorSettings


class BayerMosaic(LinearOperator):
    """The RGGB mosaic of a camera: of each pixel one colour is kept, (3, H, W) becomes (1, H, W). A A^T = I.

    Raises ValueError unless H and W are even: whole squares of red green / green blue.
    """

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        BayerSettings().check(input_shape)
        super().__init__(input_shape, (1, *input_shape[1:]))
        self.norm = 1.0
        self._mask = torch.zeros(input_shape, dtype=torch.float64)
        self._mask[0, ::2, ::2] = self._mask[1, ::2, 1::2] = self._mask[1, 1::2, ::2] = self._mask[2, 1::2, 1::2] = 1

    def _forward(self, x: Tensor) -> Tensor:
        return (x * self._constant("_mask", x)).sum(1, keepdim=True)

    def _adjoint(self, y: Tensor) -> Tensor:
        return y * self._constant("_mask", y)

    def _normal(self, x: Tensor) -> Tensor:
        return x * self._constant("_mask", x)

    def initial(self, y: Tensor) -> Tensor:
        """Return the linear demosaicking of Malvar, He, Cutler 2004, clipped to [0, 1]."""
        from colour_demosaicing import demosaicing_CFA_Bayer_Malvar2004 as malvar

        images = [malvar(mosaic.double().cpu().numpy(), "RGGB").transpose(2, 0, 1) for (mosaic,) in y]
        return torch.from_numpy(np.stack(images)).clamp_(0, 1).to(y)

    def inverse(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        return lambda r: r / (weight * self._constant("_mask", r) + rho)


class BayerSettings(OperatorSettings):
    """The RGGB mosaic of a camera: of each pixel one colour is kept."""

    known_norm: ClassVar[float | None] = 1.0

    def check(self, input_shape: tuple[int, ...]) -> None:
        channels, height, width = input_shape
        if channels != 3 or height % 2 or width % 2:
            raise ValueError(f"a Bayer mosaic takes colour images of even sides, not {channels} channels of {height} x "
                             f"{width}. Crop the images by one row or column, or use others")  # fmt: skip

    def build(self, input_shape: tuple[int, ...], seed: int) -> BayerMosaic:
        return BayerMosaic(input_shape)
