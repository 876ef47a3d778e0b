"""Training losses of the LPN paper (section 3.2) and of DnCNN, each a function of the residual f(noisy) - clean."""

from collections.abc import Callable

from torch import Tensor


def l2(residual: Tensor, gamma: float) -> Tensor:
    """Return the mean squared entry of `residual` (N, ...); gamma is not used. Its minimiser is the posterior mean."""
    return residual.square().mean()


def sum_of_squares(residual: Tensor, gamma: float) -> Tensor:
    """Return  1/(2 N) sum_i ||r_i||^2  of residuals r_i (N, ...); gamma is not used.

    The loss of "Learning Proximal Operators" (Meinhardt et al., ICCV 2017): `l2` times half the number of entries of a
    sample, which sets its weight beside the weight decay.
    """
    return residual.square().sum() / (2 * len(residual))


def l1(residual: Tensor, gamma: float) -> Tensor:
    """Return the mean absolute entry of `residual` (N, ...); gamma is not used. Its minimiser: the posterior median."""
    return residual.abs().mean()


def proximal_matching(residual: Tensor, gamma: float) -> Tensor:
    """Return the proximal matching loss  mean_i (1 - exp(-||r_i||^2 / gamma^2))  of residuals r_i (N, ...).

    As gamma -> 0 its minimiser is the MAP denoiser, the proximal operator of the negative log density of the data
    (paper, Theorem 3.2). Written with the squared norm, whose gradient at zero residual is 0 where that of the norm
    is NaN.
    """
    return -(residual.flatten(1).square().sum(1) / -(gamma**2)).expm1().mean()


LOSSES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "l2": l2,
    "sum_of_squares": sum_of_squares,
    "l1": l1,
    "proximal_matching": proximal_matching,
}
