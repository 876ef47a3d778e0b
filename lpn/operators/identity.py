"""Denoising: the measurements are the images themselves, with noise."""

from collections.abc import Callable
from functools import cached_property

from torch import Tensor

from lpn.operators._base import LinearOperator, OperatorSettings


class Identity(LinearOperator):
    """Denoising: A = I."""

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        super().__init__(input_shape, input_shape)

    @cached_property
    def norm(self) -> float:
        """||A|| = 1."""
        return 1.0

    def _forward(self, x: Tensor) -> Tensor:
        return x

    def _adjoint(self, y: Tensor) -> Tensor:
        return y

    def inverse(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        """Return division by weight + rho."""
        return lambda r: r / (weight + rho)


class IdentitySettings(OperatorSettings):
    """Denoising: A = I."""

    @property
    def known_norm(self) -> float:
        """||A|| = 1."""
        return 1.0

    def build(self, input_shape: tuple[int, ...], seed: int) -> Identity:
        """Return the identity for images of shape (C, H, W)."""
        return Identity(input_shape)
