"""The unconstrained denoiser DnCNN."""

import itertools

import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from lpn.networks._base import Network, NetworkSettings


class DnCNNSettings(NetworkSettings):
    """f(x) = x - net(x) with a residual network of 3x3 convolutions; no constraint makes it a proximal operator."""

    channels: PositiveInt = Field(default=1, description="channels of an image")
    depth: int = Field(default=17, ge=2, description="number of convolutions")
    hidden: PositiveInt = Field(default=64, description="channels between the convolutions")

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return self.channels, None, None

    def build(self) -> "DnCNN":
        return DnCNN(self)


class DnCNN(Network):
    """The unconstrained denoiser f(x) = x - net(x): 3x3 convolutions with bias, and ReLU between them.

    "Learning Proximal Operators" (Meinhardt et al., ICCV 2017), section 4: DnCNN (Zhang et al. 2017) without batch
    normalisation, weights He-normal. Inputs (N, channels, H, W) of any size.
    """

    def __init__(self, settings: DnCNNSettings) -> None:
        super().__init__(settings.model_dump(), settings.input_shape)
        widths = [settings.channels, *[settings.hidden] * (settings.depth - 1), settings.channels]
        layers = [nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        self.convolutions = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the denoised x (N, channels, H, W)."""
        z = x
        for layer in self.convolutions[:-1]:
            z = F.relu(layer(z))
        return x - self.convolutions[-1](z)
