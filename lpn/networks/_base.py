"""What all networks share."""

from typing import Annotated, Any, ClassVar

from pydantic import TypeAdapter
from torch import nn

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


class NetworkSettings(Component):
    """Settings of a network, which `build` makes.

    Attributes:
        is_lpn: whether it is a learned proximal network, the gradient of a convex potential (`lpn.networks.LPN`).
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
