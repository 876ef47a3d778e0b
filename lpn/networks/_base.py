"""What all networks share."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from lpn.settings import Choice, Component, blame

if TYPE_CHECKING:
    from lpn.operators import LinearOperator

# what a network is: a map of noisy to clean samples without constraints, one that is exactly a proximal operator (an `LPN`),
# or a `Regulariser`, which may be convex by its weights
Role = Literal["denoiser", "lpn", "regulariser", "convex regulariser"]


class Network(nn.Module):
    """A network that training fits: what denoisers, LPNs and regularisers share.

    Args:
        config: the settings that make this network again, see `build_network`.
        input_shape: shape of one sample without the batch axis; for convolutional networks, which take images of any size,
            sides are None.
    """

    def __init__(self, config: dict[str, Any], input_shape: tuple[int | None, ...]) -> None:
        super().__init__()
        self.config, self.input_shape = config, input_shape

    def constrained_weights(self) -> list[Tensor]:
        """Return the weights that must be >= 0, for psi of an LPN or a convex regulariser to be convex; none in others."""
        return []

    @torch.no_grad()
    def project(self) -> None:
        """Project the constrained weights onto >= 0, after a step of the optimiser."""
        if weights := self.constrained_weights():
            torch._foreach_clamp_min_(weights, 0.0)  # pyright: ignore[reportPrivateImportUsage]

    def decayed_weights(self) -> list[nn.Parameter]:
        """Return the parameters that weight decay applies to, where a training has it: all."""
        return list(self.parameters())


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


class Regulariser(Network):
    """A learned regulariser R, small for clean images and large for others.

    Its `forward` returns R(x), (N,), for images x (N, C, H, W), and raises ValueError if their shape does not fit.
    """

    def penalised(self, x: Tensor) -> Tensor:
        """Return the part of R(x), (N,), whose gradient training holds close to the norm 1: all of it."""
        return self(x)

    def critic_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of R: all, unless the network has a generator beside it."""
        return list(self.parameters())

    def generator_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the generator: none, unless the network has one."""
        return []

    def unrolled(self, operator: "LinearOperator", y: Tensor, start: Tensor) -> Iterator[Tensor]:
        """Yield the images (N, C, H, W) of each step of the generator, from measurements y and an image for each.

        Only networks whose settings have `unrolled_steps` have this.
        """
        raise NotImplementedError

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return R(x), (N,), and its gradient, (N, C, H, W), for (N, C, H, W); no graph is kept."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            value = self(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient


class NetworkSettings(Component):
    """Settings of a network, which `build` makes.

    Attributes:
        role: what it is.
        multiple: the sides of images must be multiples of this.
        compiles: whether `torch.compile` can compile it.
    """

    kind: ClassVar[str] = "network"
    role: ClassVar[Role] = "denoiser"
    multiple: ClassVar[int] = 1
    compiles: ClassVar[bool] = True

    @property
    def is_regulariser(self) -> bool:
        """Whether it is a `Regulariser`, which is trained on pairs, and no denoiser."""
        return self.role in ("regulariser", "convex regulariser")

    @property
    def unrolled_steps(self) -> int:
        """Number of steps of a regulariser's generator of reconstructions, see `lpn.networks.uar`; 0 if it has none."""
        return 0

    def starts_from(self, other: "NetworkSettings") -> bool:
        """Return whether training may start from the weights of a network of other settings: by default only the same."""
        return other == self

    @property
    def certified(self) -> bool:
        """Whether a certificate says what it is: a proximal operator, or a convex function."""
        return self.role in ("lpn", "convex regulariser")

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of one sample, (C, H, W) with None for sides of any size, or (1,) for scalars."""
        raise NotImplementedError

    def check_images(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError if images of shape (C, H, W) have other channels, or sides that are no multiples."""
        takes = self.input_shape
        if len(takes) != len(shape) or takes[0] != shape[0]:
            known = ", ".join("any" if side is None else str(side) for side in takes)
            raise ValueError(f"the network takes inputs of shape ({known}); the images have {shape}")
        if any(side % self.multiple for side in shape[1:]):
            raise ValueError(f"the network {self.name} needs sides that are multiples of {self.multiple}, and the images "
                             f"are {shape[1]}x{shape[2]}")  # fmt: skip

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
