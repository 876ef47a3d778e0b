"""The unrolled adversarial regulariser (UAR): a critic, and a generator of reconstructions that is trained against it."""

from collections.abc import Iterator

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from lpn.networks._base import NetworkSettings, Regulariser
from lpn.networks.ar import AR, ARSettings
from lpn.operators import LinearOperator


class UARSettings(ARSettings):
    """A critic R of square images of one size, see ar, with a reconstruction G of unrolled primal-dual steps."""

    steps: PositiveInt = Field(default=20, description="unrolled steps of G")
    filters: PositiveInt = Field(default=32, description="channels between the convolutions of G")

    @property
    def unrolled_steps(self) -> int:
        return self.steps

    def starts_from(self, other: NetworkSettings) -> bool:
        """Return whether the other network is the same, or an AR as its critic is."""
        critic = {name: getattr(self, name) for name in ARSettings.model_fields if name != "name"}
        return other == self or other == ARSettings(**critic)

    def build(self) -> Regulariser:
        return UAR(self)


class UAR(Regulariser):
    """R and G of Mukherjee et al., "End-to-end reconstruction meets data-driven regularization" (NeurIPS 2021).

    Attributes:
        regulariser: R, an `AR`; images have the shape (N, channels, size, size).
        generator: G, a `PrimalDual`.
    """

    def __init__(self, settings: UARSettings) -> None:
        super().__init__(settings.model_dump(), settings.input_shape)
        self.regulariser = AR(settings)
        self.generator = PrimalDual(settings.channels, settings.steps, settings.filters)

    def forward(self, x: Tensor) -> Tensor:
        """Return R(x), (N,), as `AR` does."""
        return self.regulariser(x)

    def critic_parameters(self) -> list[nn.Parameter]:
        return list(self.regulariser.parameters())

    def generator_parameters(self) -> list[nn.Parameter]:
        return list(self.generator.parameters())

    def unrolled(self, operator: LinearOperator, y: Tensor, start: Tensor) -> Iterator[Tensor]:
        """Yield the image after each step of G, (N, C, H, W): the last one is G(y). Autograd differentiates it.

        Args:
            operator: the linear operator A.
            y: the measurements, (N, C, angles, detectors).
            start: an image for each, (N, C, H, W), of `operator.initial`; it is clipped to [0, 1].

        Raises ValueError for measurements of another shape.
        """
        channels, shape = self.input_shape[0], operator.output_shape
        if len(shape) != 3 or shape[0] != channels:
            raise ValueError(f"unrolled steps are convolutions of measurements ({channels}, H, W), not {shape}")
        return self.generator(operator, y, start.clamp(0, 1))


class PrimalDual(nn.Module):
    """Learned primal-dual steps `h += D_i(h, y, sigma_i A x)`, `x += P_i(x, tau_i A^T h)` from h = 0 (Adler, Oektem 2018).

    Parameters are named as in the published code.
    """

    def __init__(self, channels: int, steps: int, filters: int) -> None:
        super().__init__()
        self.sigma = nn.Parameter(torch.full((steps,), 0.01))
        self.tau = nn.Parameter(torch.full((steps,), 0.01))
        self.cnn_image_layers = nn.ModuleList(_Step(2 * channels, filters, channels) for _ in range(steps))
        self.cnn_data_layers = nn.ModuleList(_Step(3 * channels, filters, channels) for _ in range(steps))

    def forward(self, operator: LinearOperator, y: Tensor, x: Tensor) -> Iterator[Tensor]:
        """Yield the images of the steps from x."""
        h = torch.zeros_like(y)
        for sigma, tau, data, image in zip(self.sigma, self.tau, self.cnn_data_layers, self.cnn_image_layers, strict=True):
            h = h + data(torch.cat((h, y, sigma * operator(x)), 1))
            x = x + image(torch.cat((x, tau * operator.adjoint(h)), 1))
            yield x


class _Step(nn.Module):
    """Three convolutions 5x5 with PReLU between them."""

    def __init__(self, inputs: int, filters: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, filters, 5, padding=2)
        self.conv2 = nn.Conv2d(filters, filters, 5, padding=2)
        self.conv3 = nn.Conv2d(filters, outputs, 5, padding=2)
        self.act1, self.act2 = nn.PReLU(), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.act2(self.conv2(self.act1(self.conv1(x)))))
