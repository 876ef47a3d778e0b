"""What all networks share."""

from typing import Annotated, Any, ClassVar

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from lpn.settings import Choice, Component, blame


class Network(nn.Module):
    """A map of noisy to clean samples that training fits; what LPNs and unconstrained denoisers share.

    Args:
        config: the settings that make this network again, see `build_network`.
        input_shape: shape of one sample without the batch axis; for convolutional networks, which take images of any size,
            sides are None.
    """

    def __init__(self, config: dict[str, Any], input_shape: tuple[int | None, ...]) -> None:
        super().__init__()
        self.config, self.input_shape = config, input_shape

    def project(self) -> None:
        """Restore the constraints on the weights, if there are any, after a step of the optimiser."""


class LPN(Network):
    """A learned proximal network: f = grad psi, with psi convex as long as its constrained weights are >= 0.

    Networks of this class are certified, inverted and evaluated; a construction of psi is a class below this one.

    Attributes:
        alpha: psi is 2 alpha strongly convex.
    """

    alpha: float

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x) = grad psi(x), the proximal operator of the learned prior, for (N, *input_shape).

        Raises ValueError if the shape of x does not fit.
        """
        return self.prox_and_potential(x)[0]

    def prox_and_potential(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f(x), of the shape of x, and psi(x) as (N,), for (N, *input_shape)."""
        raise NotImplementedError

    def potential(self, x: Tensor) -> Tensor:
        """Return psi(x) as (N,), for (N, *input_shape)."""
        return self.prox_and_potential(x)[1]

    def constrained_weights(self) -> list[Tensor]:
        """Return the weights that must be >= 0 for psi to be convex."""
        raise NotImplementedError

    @torch.no_grad()
    def project(self) -> None:
        """Project the constrained weights onto >= 0."""
        torch._foreach_clamp_min_(self.constrained_weights(), 0.0)  # pyright: ignore[reportPrivateImportUsage]


class NetworkSettings(Component):
    """Settings of a network, which `build` makes.

    Attributes:
        is_lpn: whether it is a learned proximal network, an `LPN`.
        multiple: the sides of images must be multiples of this.
        compiles: whether `torch.compile` can compile it.
    """

    kind: ClassVar[str] = "network"
    is_lpn: ClassVar[bool] = False
    multiple: ClassVar[int] = 1
    compiles: ClassVar[bool] = True

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of one sample, (C, H, W) with None for sides of any size, or (1,) for scalars."""
        raise NotImplementedError

    def build(self) -> Network:
        """Return the network with initial weights, drawn from PyTorch's global generator."""
        raise NotImplementedError


def network_settings(values: dict[str, Any]) -> NetworkSettings:
    """Return the settings of a network from a mapping, e.g. {"name": "lpn_28", "hidden": 64}.

    Raises ValueError for an unknown name, or settings that the network does not have.
    """
    return TypeAdapter(Annotated[NetworkSettings, Choice("network")]).validate_python(values)


def build_network(settings: NetworkSettings | dict[str, Any]) -> Network:
    """Build a network from its settings, or a mapping of them, with initial weights from PyTorch's global generator.

    Raises ValueError as `network_settings` does, and if the network of a plug-in can't be built.
    """
    if isinstance(settings, dict):
        settings = network_settings(settings)
    try:
        network = settings.build()
    except Exception as error:
        if place := blame(settings, error):
            raise ValueError(f"{place}{type(error).__name__}: {error}") from error
        raise
    if not isinstance(network, Network):
        raise ValueError(f"{settings.name}: `build` must return a Network, not {type(network).__name__}")
    network.config = settings.model_dump()  # what makes it again, whatever a plug-in gave
    return network
