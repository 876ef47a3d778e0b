"""Denoising: the measurements are the images themselves, with noise."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from lpn.operators._base import LinearOperator, OperatorSettings


class Identity(LinearOperator):
    """Denoising: A = I."""

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        super().__init__(input_shape, input_shape)
        self.norm = 1.0

    def _forward(self, x: Tensor) -> Tensor:
        return x

    def _adjoint(self, y: Tensor) -> Tensor:
        return y

    def inverse(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        return lambda r: r / (weight + rho)


class IdentitySettings(OperatorSettings):
    """Denoising: A = I."""

    known_norm: ClassVar[float | None] = 1.0

    def build(self, input_shape: tuple[int, ...], seed: int) -> Identity:
        return Identity(input_shape)
