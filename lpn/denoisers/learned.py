"""A trained network as the denoiser: a learned proximal network, or an unconstrained one."""

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from lpn.compute import use_bf16
from lpn.denoisers._base import Denoiser, Prox
from lpn.denoisers._exact import ExactProx
from lpn.denoisers._patches import Average, PatchLPN, check_stride
from lpn.networks import LPN, Network, NetworkSettings


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
        self._check(network.is_lpn, network.input_shape, shape)
        if any(side % network.multiple for side in shape[1:]):
            raise ValueError(
                f"the network {network.name} needs sides that are multiples of {network.multiple}, and the images are "
                f"{_sides(shape)}"
            )

    def prox(self, network: Network, shape: tuple[int, ...], device: torch.device) -> Prox:
        """Return the network as a denoiser of images of shape (C, H, W) on the device, to which it is moved.

        Raises ValueError if `check_network` does.
        """
        self._check(isinstance(network, LPN), network.input_shape, shape)
        network = network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        prox = self._of_lpn(network, shape) if isinstance(network, LPN) else self._of_other(network, device)
        return (lambda v: prox(v).clamp(0, 1)) if self.clip else prox

    def __call__(self, v: Tensor) -> Tensor:
        """Raise TypeError: only `prox` knows the network."""
        raise TypeError("a learned denoiser needs its network: call `prox`, and what that returns")

    def _of_lpn(self, network: LPN, shape: tuple[int, ...]) -> Prox:
        if network.input_shape == shape:
            return ExactProx(network, self.strength)
        patches = PatchLPN(network, self.average, self.stride)
        return ExactProx(patches, self.strength) if self.average == "uniform" else patches

    def _of_other(self, network: Network, device: torch.device) -> Prox:
        if self.precision == "fp32":
            return network
        if use_bf16(device):
            return _in_bf16(network)
        print("this processor is not faster in bfloat16: the denoiser is computed in fp32", flush=True)
        return network

    def _check(self, is_lpn: bool, takes: tuple[int | None, ...], shape: tuple[int, ...]) -> None:
        """Raise ValueError if a network of samples of shape `takes` does not fit the images or these settings."""
        if len(takes) != len(shape) or takes[0] != shape[0]:
            known = tuple("any" if side is None else side for side in takes)
            raise ValueError(f"the network takes inputs of shape ({', '.join(map(str, known))}); the images have {shape}")
        foreign = ("precision",) if is_lpn else ("average", "stride", "strength")
        for name in foreign:
            if getattr(self, name) != type(self).model_fields[name].default:
                others = "unconstrained networks" if is_lpn else "learned proximal networks"
                raise ValueError(f"{name} is a setting of {others}, and the network is none: leave it out")
        size = takes[1]
        if not is_lpn or size is None:
            return
        if self.stride is not None:
            check_stride(self.average, self.stride, size)
        if self.average == "by_count":
            if size > min(shape[1:]):
                raise ValueError(
                    f"images of {_sides(shape)} are smaller than the patches of {size}x{size}. The average uniform pads "
                    "them; with by_count, patches must fit into the images"
                )
            if self.strength != 1:
                raise ValueError("strength is for the average uniform only; by_count is no proximal operator")


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape[1:]))


def _in_bf16(network: Network) -> Prox:
    """Return the network with its convolutions in bfloat16, whose result has the precision of its input."""

    def denoise(v: Tensor) -> Tensor:
        with torch.autocast(v.device.type, torch.bfloat16):
            return network(v).to(v)

    return denoise
