"""What all training losses share."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from lpn.settings import Component


class Loss(Component):
    """A training loss with its settings: a function of the residuals f(noisy) - clean, (N, ...)."""

    kind: ClassVar[str] = "loss"

    def __call__(self, residual: Tensor) -> Tensor:
        """Return the loss of a batch of residuals (N, ...), a scalar."""
        raise NotImplementedError

    def stages(self, dimension: int) -> list[tuple[Callable[[Tensor], Tensor], dict[str, float]]]:
        """Return the losses of the equal stages that a phase of training is split into, each with what the log says of it.

        `dimension` is the number of entries of a sample. By default there is one stage.
        """
        return [(self, {})]
