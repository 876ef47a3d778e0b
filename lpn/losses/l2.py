"""The mean squared error."""

from torch import Tensor

from lpn.losses._base import Loss


class L2(Loss):
    """The mean squared entry of the residuals. Its minimiser is the posterior mean."""

    def __call__(self, residual: Tensor) -> Tensor:
        return residual.square().mean()
