"""The loss of adversarial regularisers."""

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from lpn.losses._base import Pair, PairLoss
from lpn.networks import Regulariser


def gradient_penalty(network: Regulariser, z: Tensor, one_sided: bool = False) -> Tensor:
    """Return  mean_i (||grad R(z_i)|| - 1)^2  at points z (N, C, H, W), of which only norms above 1 count if `one_sided`.

    R is the part of the network that it says is penalised. Autograd differentiates the penalty.
    """
    z = z.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(network.penalised(z).sum(), z, create_graph=True)
    excess = gradient.flatten(1).norm(dim=1) - 1
    return (excess.clamp_min(0) if one_sided else excess).square().mean()


class Critic(PairLoss):
    """R small at images x, large at reconstructions, and with gradients of norm 1 between them (Lunz et al., NeurIPS 2018).

    mean R(x) - mean R(start) + penalty mean (||grad R(a x + (1 - a) start)|| - 1)^2,  with a uniform in [0, 1). It is least
    for the R whose difference of means is the Wasserstein distance of the two. The critic is moved.
    """

    penalty: NonNegativeFloat = Field(default=10, description="weight of the gradient's penalty")
    one_sided: bool = Field(default=False, description="whether only norms above 1 count, as in Lunz et al.")

    def __call__(self, network: Regulariser, pair: Pair, step: int) -> tuple[Tensor, list[nn.Parameter]]:
        z = torch.lerp(pair.start, pair.image, pair.mix)
        distance = network(pair.start).mean() - network(pair.image).mean()
        penalty = gradient_penalty(network, z, self.one_sided)
        return self.penalty * penalty - distance, network.critic_parameters()
