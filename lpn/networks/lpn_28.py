"""The LPN of images of 28 x 28 pixels (MNIST)."""

from typing import ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from lpn.networks._base import NetworkSettings
from lpn.networks._icnn import LPN, Layer, initialise


class Lpn28(NetworkSettings):
    """An LPN of images (N, channels, 28, 28) in [0, 1]."""

    is_lpn: ClassVar[bool] = True

    channels: PositiveInt = Field(default=1, description="channels of an image")
    hidden: PositiveInt = Field(default=64, description="channels of the hidden layers")
    beta: PositiveFloat = Field(default=10.0, description="sharpness of the softplus")
    alpha: NonNegativeFloat = Field(default=0.01, description="psi is 2 alpha strongly convex")

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(channels, 28, 28)."""
        return self.channels, 28, 28

    def build(self) -> LPN:
        """Return the network; see `lpn.networks._icnn.initialise`."""
        channels, hidden = self.channels, self.hidden
        strides = [1, 2, 1, 2]
        widths = [channels, hidden, hidden, hidden]
        lin: list[Layer] = [
            nn.Conv2d(width, hidden, 3, stride, 1, bias=False) for width, stride in zip(widths, strides, strict=True)
        ]
        lin += [nn.Linear(49 * hidden, 64, bias=False), nn.Linear(64, 1, bias=False)]
        res: list[Layer] = [nn.Conv2d(channels, hidden, 3, stride, 1) for stride in strides[1:]]
        res += [nn.Linear(49 * channels, 64)]
        initialise(lin)
        return LPN(lin, res, [28, 14, 14, 7], (channels, 28, 28), self.beta, self.alpha, self.model_dump())
