"""The LPN of square patches of larger images (CelebA, Mayo-CT)."""

from typing import ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from lpn.networks._base import LPN, NetworkSettings
from lpn.networks._icnn import IcnnLPN, Layer, initialise


class LpnPatch(NetworkSettings):
    """An LPN of images (N, channels, size, size) in [0, 1]; as published their size is 128.

    Other sizes have the same layers, with a last convolution of size / 8.
    """

    role: ClassVar = "lpn"

    channels: PositiveInt = Field(default=3, description="channels of an image")
    hidden: PositiveInt = Field(default=256, description="channels of the hidden layers")
    beta: PositiveFloat = Field(default=100.0, description="sharpness of the softplus")
    alpha: NonNegativeFloat = Field(default=1e-6, description="psi is 2 alpha strongly convex")
    size: int = Field(default=128, gt=0, multiple_of=8, description="side of the patches in pixels, a multiple of 8")

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return self.channels, self.size, self.size

    def build(self) -> LPN:
        channels, hidden, size, strides = self.channels, self.hidden, self.size, (2, 1, 2, 1, 2)
        lin: list[Layer] = [nn.Conv2d(channels, hidden, 3, padding=1)]
        lin += [nn.Conv2d(hidden, hidden, 3, stride, 1, bias=False) for stride in strides]
        lin += [nn.Conv2d(hidden, 64, size // 8, bias=False), nn.Linear(64, 1)]
        res: list[Layer] = [nn.Conv2d(channels, hidden, 3, stride, 1) for stride in strides]
        res += [nn.Conv2d(channels, 64, size // 8)]
        initialise(lin)
        sizes = [size, size // 2, size // 2, size // 4, size // 4, size // 8]
        return IcnnLPN(self, lin, res, sizes, self.beta, self.alpha)
