"""What all training losses share."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from lpn.networks import Regulariser
from lpn.settings import Component

if TYPE_CHECKING:
    from lpn.operators import LinearOperator


class Objective(Component):
    """What a step of training makes smaller: a `Loss` of denoising, or a `PairLoss` of regularisers.

    Attributes:
        largest: a loss that is not between minus this and this has exploded.
        steps_per_batch: how many steps, one after the other, use one batch.
    """

    kind: ClassVar[str] = "loss"
    largest: ClassVar[float] = math.inf
    steps_per_batch: ClassVar[int] = 1

    def stages(self, dimension: int) -> list[tuple[Callable[..., Any], dict[str, float]]]:
        """Return the losses of the equal stages that a phase of training is split into, each with what the log says of it.

        `dimension` is the number of entries of a sample. By default there is one stage.
        """
        return [(self, {})]

    def __call__(self, *arguments: Any) -> Any:
        """Return the loss, see the classes below."""
        raise NotImplementedError


class Loss(Objective):
    """A training loss with its settings: a function of the residuals f(noisy) - clean, (N, ...)."""

    def __call__(self, residual: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the loss of a batch of residuals (N, ...), a scalar."""
        raise NotImplementedError


@dataclass(frozen=True)
class Pair:
    """A batch of images, and of reconstructions from their measurements.

    Attributes:
        image: the images x, (N, C, H, W).
        start: reconstructions of them, such as filtered back-projections, (N, C, H, W).
        mix: numbers a of [0, 1), (N, 1, 1, 1), of the points  a image + (1 - a) start.
        y: the measurements A x + noise, (N, *output_shape); None for crops of images, whose measurements are not known.
        operator: A, or None as y.
    """

    image: Tensor
    start: Tensor
    mix: Tensor
    y: Tensor | None = None
    operator: "LinearOperator | None" = None

    def to(self, device: torch.device) -> "Pair":
        """Return the batch on a device."""
        y = None if self.y is None else self.y.to(device)
        return Pair(self.image.to(device), self.start.to(device), self.mix.to(device), y, self.operator)

    def part(self, number: int) -> "Pair":
        """Return one image of the batch, as a batch."""
        y = None if self.y is None else self.y[[number]]
        return Pair(self.image[[number]], self.start[[number]], self.mix[[number]], y, self.operator)


def generated(network: Regulariser, pair: Pair) -> Tensor:
    """Return G(y), (N, C, H, W), of a network that has a generator and a pair that has measurements."""
    assert pair.operator is not None
    assert pair.y is not None
    *_, last = network.unrolled(pair.operator, pair.y, pair.start)
    return last


class PairLoss(Objective):
    """A training loss with its settings: a function of a regulariser and pairs. Each step moves one player.

    The players are the critic R and, in networks that have one, the generator G, which reconstructs.

    Attributes:
        needs_generator: whether the network must have a generator.
    """

    largest: ClassVar[float] = 1e6  # of images in [0, 1], and measurements with noise, none that works comes near it
    needs_generator: ClassVar[bool] = False

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, network: Regulariser, pair: Pair, step: int
    ) -> tuple[Tensor, list[nn.Parameter]]:
        """Return the loss of a batch, a mean over it, and the parameters of the player that a step moves.

        `step` counts the steps of the phase from 0.
        """
        raise NotImplementedError
