"""A learned proximal network as a denoiser that knows the value of its regulariser."""

import torch
from torch import Tensor

from lpn.denoisers._base import Prox
from lpn.denoisers._patches import PatchLPN
from lpn.networks import LPN


class ExactProx:
    """An LPN as the denoiser of a solver, which knows the exact value of its regulariser at every output.

    Since z = f(v), f^{-1}(z) = v needs no inversion:  R(z) = <z, v> - 1/2 ||z||^2 - psi(v)  (LPN paper, eq. 3.5), and psi(v)
    is a by-product of f(v). In float32 psi has a relative rounding error of about 1e-7.

    With a strength g below 1 the denoiser is  g f(v) + (1 - g) v, the gradient of the convex  g psi + (1 - g)/2 ||.||^2, so
    again exactly a prox: that of a weaker R, about g times the network's if f removes little. It stands for the weight
    that a step or penalty bounded by theory does not allow (relaxed denoisers: Hurault et al., "Convergent plug-and-play
    with proximal denoiser and unconstrained regularization parameter", 2023).

    Args:
        model: the LPN, of images of the shape of v, or of patches of them with the average "uniform".
        strength: g, in (0, 1].

    Raises ValueError for another strength.
    """

    def __init__(self, model: LPN | PatchLPN, strength: float = 1.0) -> None:
        if not 0 < strength <= 1:
            raise ValueError(f"strength must be in (0, 1], not {strength}")
        self.model, self.strength = model, strength

    def __call__(self, v: Tensor) -> Tensor:
        """Return z, the prox of v (N, C, H, W)."""
        return self.evaluate(v)[0]

    def evaluate(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return z, the prox of v (N, C, H, W), and R(z), float64 (N,)."""
        z, potential = self.model.prox_and_potential(v)
        if self.strength != 1:
            z = torch.lerp(v, z, self.strength)
            potential = torch.lerp(_squared(v.double()) / 2, potential.double(), self.strength)
        a, b = z.double(), v.double()
        return z, (a * b).flatten(1).sum(1) - _squared(a) / 2 - potential


def _squared(x: Tensor) -> Tensor:
    """Return the squared norm of each sample, (N,)."""
    return x.flatten(1).square().sum(1)


def evaluate(prox: Prox, v: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return z = prox(v), (N, C, H, W), and its regulariser R(z), float64 (N,), if `prox` knows it, else None."""
    return prox.evaluate(v) if isinstance(prox, ExactProx) else (prox(v), None)
