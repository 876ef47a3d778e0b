"""A trained network as the denoiser: a learned proximal network, whose regulariser is known, or an unconstrained one."""

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from lpn.compute import use_bf16
from lpn.denoisers._base import Denoiser, Prox
from lpn.denoisers._patches import Average, PatchLPN, check_stride, whole
from lpn.networks import LPN, Network, NetworkSettings


class Relaxed(LPN):
    """The weaker LPN  g f + (1 - g) id,  the gradient of the convex  g psi + (1 - g)/2 ||.||^2,  of an LPN f = grad psi.

    So it is again exactly a prox: that of a weaker R, about g times the network's if f removes little. It stands for the
    weight that a step or penalty bounded by theory does not allow (relaxed denoisers: Hurault et al., "Convergent
    plug-and-play with proximal denoiser and unconstrained regularization parameter", 2023).

    The model is an LPN, or one of patches with the average "uniform". Raises ValueError unless the strength g is in (0, 1].
    """

    def __init__(self, model: LPN | PatchLPN, strength: float) -> None:
        if not 0 < strength <= 1:
            raise ValueError(f"strength must be in (0, 1], not {strength}")
        super().__init__(model.config | {"strength": strength}, model.input_shape)
        self.model, self.strength = model, strength
        self.alpha = strength * model.alpha + (1 - strength) / 2

    def constrained_weights(self) -> list[Tensor]:
        """Return the weights of the LPN that must be >= 0."""
        return self.model.constrained_weights()

    def prox_and_potential(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the prox of x (N, C, H, W), and the potential, float64 (N,)."""
        z, potential = self.model.prox_and_potential(x)
        return torch.lerp(x, z, self.strength), torch.lerp(squared(x.double()) / 2, potential.double(), self.strength)


class ExactProx:
    """An LPN as the denoiser of a solver, which knows the exact value of its regulariser at every output.

    Since z = f(v), f^{-1}(z) = v needs no inversion: `R(z) = <z, v> - 1/2 ||z||^2 - psi(v)` (LPN paper, eq. 3.5), and
    psi(v) is a by-product of f(v). In float32 psi has a relative rounding error of about 1e-7.

    The model is an LPN of images of the shape of v, or of patches of them with the average "uniform". A strength below 1
    makes it weaker, see `Relaxed`, whose ValueError this raises.
    """

    def __init__(self, model: LPN | PatchLPN, strength: float = 1.0) -> None:
        self.model = model if strength == 1 else Relaxed(model, strength)

    def __call__(self, v: Tensor) -> Tensor:
        """Return z, the prox of v (N, C, H, W)."""
        return self.evaluate(v)[0]

    def evaluate(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return z, the prox of v (N, C, H, W), and R(z), float64 (N,)."""
        z, potential = self.model.prox_and_potential(v)
        a, b = z.double(), v.double()
        return z, (a * b).flatten(1).sum(1) - squared(a) / 2 - potential

    def steps(self, z: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield z_k = f(z_{k-1}) and R(z_k), float64 (N,), for k = 1, 2, ... from z_0 (N, C, H, W).

        As f is the proximal operator of R,  R(z_{k+1}) + 1/2 ||z_{k+1} - z_k||^2 <= R(z_k):  R falls.
        """
        while True:
            z, value = self.evaluate(z)
            yield z, value


def squared(x: Tensor) -> Tensor:
    """Return the squared norm of each sample of x (N, ...), (N,)."""
    return x.flatten(1).square().sum(1)


def evaluate(prox: Prox, v: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return z = prox(v), (N, C, H, W), and its regulariser R(z), float64 (N,), if `prox` knows it, else None."""
    return prox.evaluate(v) if isinstance(prox, ExactProx) else (prox(v), None)


class Learned(Denoiser):
    """A network that was trained; `prox` makes a denoiser of it.

    A learned proximal network of smaller images than those at hand is averaged over overlapping patches, see `PatchLPN`, and
    its regulariser is known, see `ExactProx`, unless the average is "by_count" or the output is clipped.
    """

    model: str = Field(description="the trained model")
    average: Average = Field(
        default="uniform", description="LPNs: average over patches, uniform (is a prox) or by_count (as published; is none)"
    )
    stride: PositiveInt | None = Field(
        default=None, description="LPNs: distance between patches in pixels; none: half a patch"
    )
    strength: float = Field(
        default=1.0, gt=0, le=1, description="LPNs f: g of the denoiser g f + (1 - g) id, a prox of weaker R"
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="other networks: arithmetic of the convolutions, bf16 if the processor is faster in it"
    )

    def check_network(self, network: NetworkSettings, shape: tuple[int, ...]) -> None:
        """Raise ValueError if the network can't denoise images of shape (C, H, W) with these settings."""
        is_lpn = network.role == "lpn"
        if not is_lpn and network.role != "denoiser":
            raise ValueError(f"the network {network.name} is no denoiser but a regulariser: name it under 'regulariser'")
        network.check_images(shape)
        for name in ("precision",) if is_lpn else ("average", "stride", "strength"):
            if getattr(self, name) != type(self).model_fields[name].default:
                others = "unconstrained networks" if is_lpn else "learned proximal networks"
                raise ValueError(f"{name} is a setting of {others}, and the network is none: leave it out")
        size = network.input_shape[1]
        if is_lpn and size and self.stride:
            check_stride(self.average, self.stride, size)
        if is_lpn and size and self.average == "by_count":
            if size > min(shape[1:]):
                raise ValueError(f"images of {shape[1]}x{shape[2]} are smaller than the patches of {size}x{size}. The "
                                 "average uniform pads them; with by_count, patches must fit into the images")  # fmt: skip
            if self.strength != 1:
                raise ValueError("strength is for the average uniform only; by_count is no proximal operator")

    def certified(self, network: NetworkSettings) -> str:
        """Return "prox" if the certificate of the network is that of the denoiser, too; else "none"."""
        return "prox" if network.role == "lpn" and self.average == "uniform" and not self.clip else "none"

    def prox(self, network: Network, shape: tuple[int, ...], device: torch.device) -> Prox:
        """Return a network that `check_network` accepts as a denoiser of images (C, H, W) on the device, moving it there."""
        network = network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        prox: Prox = network
        if isinstance(network, LPN):
            image = whole(network, shape, self.average, self.stride)
            by_count = image is not network and self.average == "by_count"
            prox = image if by_count else ExactProx(image, self.strength)
        elif self.precision == "bf16" and use_bf16(device):
            prox = _in_bf16(network)
        elif self.precision == "bf16":
            print("this processor is not faster in bfloat16: the denoiser is computed in fp32", flush=True)
        return (lambda v: prox(v).clamp(0, 1)) if self.clip else prox

    def __call__(self, v: Tensor) -> Tensor:
        raise TypeError("a learned denoiser needs its network: call `prox`, and what that returns")


def _in_bf16(network: Network) -> Prox:
    """Return the network with its convolutions in bfloat16, whose result has the precision of its input."""

    def denoise(v: Tensor) -> Tensor:
        with torch.autocast(v.device.type, torch.bfloat16):
            return network(v).to(v)

    return denoise
