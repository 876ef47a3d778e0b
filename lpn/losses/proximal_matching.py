"""The proximal matching loss of the LPN paper (section 3.2)."""

from collections.abc import Callable
from functools import partial

from pydantic import Field, PositiveFloat
from torch import Tensor

from lpn.losses._base import Loss


def proximal_matching(residual: Tensor, gamma: float) -> Tensor:
    """Return the proximal matching loss  mean_i (1 - exp(-||r_i||^2 / gamma^2))  of residuals r_i (N, ...); gamma > 0.

    As gamma -> 0 its minimiser is the MAP denoiser, the proximal operator of the negative log density of the data
    (LPN paper, Theorem 3.2). The squared norm has the gradient 0 at zero residual; that of the norm is NaN.
    """
    return -(residual.flatten(1).square().sum(1) / -(gamma**2)).expm1().mean()


class ProximalMatching(Loss):
    """Proximal matching with a falling gamma: a phase of training is split equally over the values.

    Gammas are those of one-dimensional data. They are multiplied by sqrt(entries of a sample), the growth of a residual's
    norm with the number of entries (the published schedule).
    """

    gamma: list[PositiveFloat] = Field(
        min_length=1, description="widths of the loss, in units of sqrt(entries of a sample); a phase is split over them"
    )

    def __call__(self, residual: Tensor) -> Tensor:
        """Return the loss of residuals (N, ...) for the last gamma."""
        return proximal_matching(residual, self.gamma[-1] * residual[0].numel() ** 0.5)

    def stages(self, dimension: int) -> list[tuple[Callable[[Tensor], Tensor], dict[str, float]]]:
        """Return one stage for each gamma; the log shows gamma times sqrt(dimension)."""
        gammas = [gamma * dimension**0.5 for gamma in self.gamma]
        return [(partial(proximal_matching, gamma=gamma), {"gamma": gamma}) for gamma in gammas]
