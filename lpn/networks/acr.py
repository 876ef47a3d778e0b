"""The adversarial convex regulariser (ACR)."""

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from lpn.networks._base import NetworkSettings, Regulariser, Role

SLOPE = 0.2  # of the leaky ReLU


class ACRSettings(NetworkSettings):
    """A convex critic R = ICNN + softplus(p) sum_k ||conv_k x||_1 + softplus(q) ||x||^2 of images of any size."""

    role: ClassVar[Role] = "convex regulariser"
    compiles: ClassVar[bool] = False  # torch.compile can't differentiate twice
    channels: PositiveInt = Field(default=1, description="channels of an image")
    filters: PositiveInt = Field(default=48, description="channels of the ICNN")
    layers: PositiveInt = Field(default=10, description="convolutions of the ICNN between its first and its last")
    banks: PositiveInt = Field(default=10, description="banks of sparsifying filters")
    bank_filters: PositiveInt = Field(default=32, description="filters of a bank")

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return self.channels, None, None

    def build(self) -> Regulariser:
        return ACR(self)


class ACR(Regulariser):
    """The adversarial convex regulariser of Mukherjee et al., "Learned convex regularizers for inverse problems" (2020).

    R(x) = ICNN(x) + softplus(p) sum_k ||conv_k x||_1 + softplus(q) ||x||^2, for images (N, channels, H, W). Parameters are
    named as in the published code. Training penalises the gradient of the ICNN, and decays the weights of the other parts.
    """

    def __init__(self, settings: ACRSettings) -> None:
        super().__init__(settings.model_dump(), settings.input_shape)
        self.icnn = ICNN(settings.channels, settings.filters, settings.layers)
        self.sfb = FilterBanks(settings.channels, settings.banks, settings.bank_filters)
        self.l2_net = SquaredNorm()

    def forward(self, x: Tensor) -> Tensor:
        """Return R(x), (N,), of (N, channels, H, W). Raises ValueError for other channels."""
        if x.ndim != 4 or x.shape[1] != self.input_shape[0]:
            raise ValueError(f"the network takes images of shape (N, {self.input_shape[0]}, H, W), not {tuple(x.shape)}")
        return self.icnn(x) + self.sfb(x) + self.l2_net(x)

    def penalised(self, x: Tensor) -> Tensor:
        """Return ICNN(x), (N,)."""
        return self.icnn(x)

    def constrained_weights(self) -> list[Tensor]:
        """Return the weights that make the ICNN convex: those that its own layers are multiplied by."""
        return [layer.weight for layer in self.icnn.increasing()]

    def decayed_weights(self) -> list[nn.Parameter]:
        """Return the parameters of the filter banks and of the squared norm."""
        return [*self.sfb.parameters(), *self.l2_net.parameters()]


class ICNN(nn.Module):
    """z = lrelu(wx_0 x),  z = lrelu(wz_i z + wx_{i+1} x),  then a last convolution and the mean over its pixels.

    It is convex in x if wz and the last weights are >= 0: a leaky ReLU is convex and increasing.
    """

    def __init__(self, channels: int, filters: int, layers: int) -> None:
        super().__init__()
        self.wz = nn.ModuleList(nn.Conv2d(filters, filters, 5, padding=2, bias=False) for _ in range(layers))
        self.wx = nn.ModuleList(nn.Conv2d(channels, filters, 5, padding=2) for _ in range(layers + 1))
        self.final_conv2d = nn.Conv2d(filters, 1, 5, padding=2, bias=False)
        for layer in self.increasing():
            nn.init.uniform_(layer.weight, 0, 0.001)

    def increasing(self) -> list[nn.Conv2d]:
        """Return the convolutions that must increase with their inputs."""
        return [*cast("list[nn.Conv2d]", self.wz), self.final_conv2d]

    def forward(self, x: Tensor) -> Tensor:
        z = F.leaky_relu(self.wx[0](x), SLOPE)
        for wz, wx in zip(self.wz, self.wx[1:], strict=True):
            z = F.leaky_relu(wz(z) + wx(x), SLOPE)
        return self.final_conv2d(z).flatten(1).mean(1)


class FilterBanks(nn.Module):
    """softplus(p) sum_k ||conv_k x||_1 with filters 7x7."""

    def __init__(self, channels: int, banks: int, filters: int) -> None:
        super().__init__()
        self.penalty = nn.Parameter(torch.tensor([-12.0]))
        self.conv = nn.ModuleList(nn.Conv2d(channels, filters, 7, padding=3, bias=False) for _ in range(banks))

    def forward(self, x: Tensor) -> Tensor:
        norms = torch.stack([layer(x).flatten(1).abs().sum(1) for layer in self.conv])
        return F.softplus(self.penalty) * norms.sum(0)


class SquaredNorm(nn.Module):
    """softplus(q) ||x||^2."""

    def __init__(self) -> None:
        super().__init__()
        self.l2_penalty = nn.Parameter(torch.tensor([-9.0]))

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(self.l2_penalty) * x.flatten(1).square().sum(1)
