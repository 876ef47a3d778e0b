"""The gradient-step denoiser."""

from typing import ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from lpn.networks._base import Network, NetworkSettings


class GradientStepSettings(NetworkSettings):
    """f(x) = x - grad g(x) with a potential g that a small U-Net defines; g need not be convex."""

    multiple: ClassVar[int] = 2
    compiles: ClassVar[bool] = False  # training differentiates twice

    channels: PositiveInt = Field(default=3, description="channels of an image")
    hidden: PositiveInt = Field(default=32, description="channels of the finer scale; the coarser one has twice as many")
    blocks: PositiveInt = Field(default=2, description="convolutions of each part of the U-Net")

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return self.channels, None, None

    def build(self) -> "GradientStep":
        return GradientStep(self)


class GradientStep(Network):
    """The gradient-step denoiser f(x) = x - grad g(x) with g(x) = 1/2 ||x - N(x)||^2.

    Hurault, Leclaire, Papadakis, "Gradient Step Denoiser for convergent Plug-and-Play", ICLR 2022, section 3. N is a small
    U-Net of two scales with ELU, so that g is differentiable. Inputs (N, channels, H, W) of even sides.
    """

    def __init__(self, settings: GradientStepSettings) -> None:
        super().__init__(settings.model_dump(), settings.input_shape)
        channels, hidden = settings.channels, settings.hidden

        def convolutions(width: int) -> list[nn.Module]:
            return [part for _ in range(settings.blocks) for part in (nn.Conv2d(width, width, 3, padding=1), nn.ELU())]

        self.head = nn.Sequential(nn.Conv2d(channels, hidden, 3, padding=1), nn.ELU(), *convolutions(hidden))
        self.coarse = nn.Sequential(
            nn.Conv2d(hidden, 2 * hidden, 2, 2), *convolutions(2 * hidden), nn.ConvTranspose2d(2 * hidden, hidden, 2, 2)
        )
        self.tail = nn.Sequential(*convolutions(hidden), nn.Conv2d(hidden, channels, 3, padding=1))

    def potential(self, x: Tensor) -> Tensor:
        """Return g(x) as (N,). Raises ValueError for odd sides."""
        height, width = x.shape[-2:]
        if height % 2 or width % 2:
            raise ValueError(f"gradient_step takes images of even sides, not {height} x {width}.")
        z = self.head(x)
        return (x - self.tail(z + self.coarse(z))).flatten(1).square().sum(1) / 2

    def forward(self, x: Tensor) -> Tensor:
        """Return x - grad g(x), for (N, channels, H, W); differentiable in training mode."""
        with torch.enable_grad():
            y = x.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self.potential(y).sum(), y, create_graph=self.training)
        return x - gradient
