"""The mean absolute error."""

from torch import Tensor

from lpn.losses._base import Loss


class L1(Loss):
    """The mean absolute entry of the residuals. Its minimiser is the posterior median."""

    def __call__(self, residual: Tensor) -> Tensor:
        return residual.abs().mean()
