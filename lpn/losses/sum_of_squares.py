"""The loss of DnCNN."""

from torch import Tensor

from lpn.losses._base import Loss


class SumOfSquares(Loss):
    """1/(2 N) sum_i ||r_i||^2, the loss of "Learning Proximal Operators" (Meinhardt et al., ICCV 2017).

    It is `l2` times half the number of entries of a sample, which sets its weight relative to the weight decay.
    """

    def __call__(self, residual: Tensor) -> Tensor:
        return residual.square().sum() / (2 * len(residual))
