"""The adversarial regulariser (AR): a critic that tells images from reconstructions."""

import itertools
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from lpn.networks._base import NetworkSettings, Regulariser, Role

SLOPE = 0.2  # of the leaky ReLU
STRIDES = (1, 1, 2, 2, 2, 2)
WINDOW = 16  # side of the average pooling's


class ARSettings(NetworkSettings):
    """A critic R of square images of one size, which nothing makes convex."""

    role: ClassVar[Role] = "regulariser"
    compiles: ClassVar[bool] = False  # torch.compile can't differentiate twice
    channels: PositiveInt = Field(default=1, description="channels of an image")
    size: PositiveInt = Field(default=512, description="side of the images")
    hidden: PositiveInt = Field(
        default=16,
        description="channels after the first convolution; those after the others are 2, 2, 4, 4, 8 times as many",
    )
    linear: PositiveInt = Field(default=512, description="width of the first linear layer")
    l2: bool = Field(default=False, description="whether softplus(p) ||x||^2 is added, with a trained p, at first -12")

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return self.channels, self.size, self.size

    def build(self) -> Regulariser:
        return AR(self)


class AR(Regulariser):
    """The adversarial regulariser of Lunz, Oektem, Schoenlieb (NeurIPS 2018) in the form of Mukherjee et al. (NeurIPS 2021).

    Six convolutions 5x5 with leaky ReLU, the mean over every window of 16x16 (over all, if there is less), leaky ReLU, two
    linear layers with leaky ReLU between them. Parameters are named as in the published code. Images have the shape
    (N, channels, size, size).
    """

    def __init__(self, settings: ARSettings) -> None:
        super().__init__(settings.model_dump(), settings.input_shape)
        side = -(-settings.size // 2 ** STRIDES.count(2))
        widths = [settings.channels, *(settings.hidden * factor for factor in (1, 2, 2, 4, 4, 8))]
        self.convolutions = [
            _Block(a, b, stride) for (a, b), stride in zip(itertools.pairwise(widths), STRIDES, strict=True)
        ]
        for number, block in enumerate(self.convolutions, 1):
            self.add_module(f"conv{number}", block)
        self.window = min(WINDOW, side)
        self.fc1 = nn.Linear(widths[-1] * (side - self.window + 1) ** 2, settings.linear)
        self.fc2 = nn.Linear(settings.linear, 1)
        self.l2, penalty = settings.l2, torch.tensor([-12.0])
        if self.l2:
            self.l2_penalty = nn.Parameter(penalty)
        else:  # published weights have it all the same
            self.register_buffer("l2_penalty", penalty)

    def forward(self, x: Tensor) -> Tensor:
        """Return R(x), (N,), of (N, channels, size, size). Raises ValueError for another shape."""
        if x.shape[1:] != self.input_shape:
            raise ValueError(f"the network takes images of shape {self.input_shape}, the size that it was made for, not "
                             f"{tuple(x.shape[1:])}")  # fmt: skip
        z = x
        for block in self.convolutions:
            z = block(z)
        z = F.leaky_relu(F.avg_pool2d(z, self.window, stride=1), SLOPE)
        value = self.fc2(F.leaky_relu(self.fc1(z.flatten(1)), SLOPE))[:, 0]
        return value + F.softplus(self.l2_penalty) * x.flatten(1).square().sum(1) if self.l2 else value


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(inputs, outputs, 5, stride, padding=2)
        self.model = nn.Sequential(convolution, nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)
