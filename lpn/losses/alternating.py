"""The loss of the last stage of the unrolled adversarial regulariser, in which both players learn."""

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from lpn.losses._base import Pair, PairLoss, generated
from lpn.losses.critic import Critic
from lpn.losses.unrolled import Unrolled
from lpn.networks import Regulariser

GENERATOR_STEPS = 2


class Alternating(PairLoss):
    """For each batch two steps of the generator, as `unrolled`, then one of the critic, as `critic` with G(y) for the start.

    As published by Mukherjee et al. (NeurIPS 2021). The log has the mean loss of both.
    """

    needs_generator: ClassVar[bool] = True
    steps_per_batch: ClassVar[int] = GENERATOR_STEPS + 1
    weight: NonNegativeFloat = Field(default=0.1, description="weight of R in the loss of the generator")
    penalty: NonNegativeFloat = Field(default=10, description="weight of the gradient's penalty in the loss of the critic")

    def __call__(self, network: Regulariser, pair: Pair, step: int) -> tuple[Tensor, list[nn.Parameter]]:
        if step % self.steps_per_batch < GENERATOR_STEPS:
            return Unrolled(weight=self.weight)(network, pair, step)
        with torch.no_grad():
            start = generated(network, pair)
        return Critic(penalty=self.penalty)(network, replace(pair, start=start), step)
