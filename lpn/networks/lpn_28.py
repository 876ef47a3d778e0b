"""The LPN of images of 28 x 28 pixels (MNIST)."""

from typing import ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from lpn.networks._base import LPN, NetworkSettings
from lpn.networks._icnn import IcnnLPN, Layer, initialise


class Lpn28(NetworkSettings):
    """An LPN of images (N, channels, 28, 28) in [0, 1]."""

    role: ClassVar = "lpn"

    channels: PositiveInt = Field(default=1, description="channels of an image")
    hidden: PositiveInt = Field(default=64, description="channels of the hidden layers")
    beta: PositiveFloat = Field(default=10.0, description="sharpness of the softplus")
    alpha: NonNegativeFloat = Field(default=0.01, description="psi is 2 alpha strongly convex")

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return self.channels, 28, 28

    def build(self) -> LPN:
        channels, hidden, strides = self.channels, self.hidden, (2, 1, 2)
        lin: list[Layer] = [nn.Conv2d(channels, hidden, 3, padding=1, bias=False)]
        lin += [nn.Conv2d(hidden, hidden, 3, stride, 1, bias=False) for stride in strides]
        lin += [nn.Linear(49 * hidden, 64, bias=False), nn.Linear(64, 1, bias=False)]
        res: list[Layer] = [nn.Conv2d(channels, hidden, 3, stride, 1) for stride in strides]
        res += [nn.Linear(49 * channels, 64)]
        initialise(lin)
        return IcnnLPN(self, lin, res, [28, 14, 14, 7], self.beta, self.alpha)
