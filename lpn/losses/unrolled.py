"""The loss of the generator of the unrolled adversarial regulariser."""

from typing import ClassVar

from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from lpn.losses._base import Pair, PairLoss, generated
from lpn.networks import Regulariser


class Unrolled(PairLoss):
    """G(y) that explains the measurements and that R takes for an image: mean (y - A G(y))^2 + weight mean R(G(y)).

    The mean is over the entries of y (Mukherjee et al., NeurIPS 2021). It needs no images. The generator is moved.
    """

    needs_generator: ClassVar[bool] = True
    weight: NonNegativeFloat = Field(default=0.1, description="weight of R")

    def __call__(self, network: Regulariser, pair: Pair, step: int) -> tuple[Tensor, list[nn.Parameter]]:
        x = generated(network, pair)
        assert pair.operator is not None
        assert pair.y is not None
        loss = (pair.y - pair.operator(x)).square().mean() + self.weight * network(x).mean()
        return loss, network.generator_parameters()
