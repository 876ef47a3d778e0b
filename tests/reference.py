"""The LPN as the paper writes it: the potential in PyTorch's own operations, the prox by automatic differentiation.

The oracle of the tests, and the plain formulation that the benchmark times ours against.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lpn.networks import LPN


def plain_potential(model: LPN, x: Tensor, threshold: float = 20) -> Tensor:
    """Return psi(x), (N,), with PyTorch's softplus (linear where beta z exceeds `threshold`) and bilinear resizing."""
    y = x
    for i, layer in enumerate(model.lin):
        z = layer(y.flatten(1) if isinstance(layer, nn.Linear) else y)
        if 0 < i <= len(model.res):
            skip = x
            if model.sizes and model.sizes[i - 1] != x.shape[-1]:
                skip = F.interpolate(x, size=(model.sizes[i - 1],) * 2, mode="bilinear", align_corners=False)
            z = z + model.res[i - 1](skip.flatten(1) if isinstance(model.res[i - 1], nn.Linear) else skip)
        y = F.softplus(z, beta=model.beta, threshold=threshold)
    return z[:, 0] + model.alpha * x.flatten(1).square().sum(1)


def plain_prox(model: LPN, threshold: float = 20) -> Callable[[Tensor], Tensor]:
    """Return f = grad psi by autograd, itself differentiable in training mode."""

    def prox(x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            psi = plain_potential(model, x, threshold).sum()
            return torch.autograd.grad(psi, x, create_graph=model.training)[0]

    return prox
