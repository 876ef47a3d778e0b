"""The scalar LPN of the Laplacian experiment."""

from typing import ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from lpn.networks._base import LPN, NetworkSettings
from lpn.networks._icnn import Layer
from lpn.networks._scalar import ScalarLPN


class LpnScalar(NetworkSettings):
    """An LPN of numbers: samples (N, 1). By default it has no quadratic term."""

    role: ClassVar = "lpn"

    hidden: PositiveInt = Field(default=50, description="width of the hidden layers")
    layers: PositiveInt = Field(default=4, description="number of hidden layers after the first")
    beta: PositiveFloat = Field(default=10.0, description="sharpness of the softplus")
    alpha: NonNegativeFloat = Field(default=0.0, description="psi is 2 alpha strongly convex")

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return (1,)

    def build(self) -> LPN:
        """Return the network. As published, all weights keep PyTorch's default initialisation.

        About half of the constrained ones are negative and become zero at the first projection.
        """
        hidden, layers = self.hidden, self.layers
        lin: list[Layer] = [nn.Linear(1, hidden, bias=False)]
        lin += [nn.Linear(hidden, hidden, bias=False) for _ in range(layers)]
        lin += [nn.Linear(hidden, 1, bias=False)]
        res: list[Layer] = [*(nn.Linear(1, hidden) for _ in range(layers)), nn.Linear(1, 1)]
        return ScalarLPN(self, lin, res, [], self.beta, self.alpha)
