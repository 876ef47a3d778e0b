"""Forward differences of images, and the total variation."""

import torch
from torch import Tensor

SQUARED_NORM = 8  # the squared norm of `differences` is below this


def differences(x: Tensor) -> Tensor:
    """Return the forward differences of x (N, C, H, W) down and to the right, (N, 2, C, H, W); 0 past the border."""
    result = x.new_zeros(len(x), 2, *x.shape[1:])
    result[:, 0, :, :-1] = x[..., 1:, :] - x[..., :-1, :]
    result[:, 1, ..., :-1] = x[..., 1:] - x[..., :-1]
    return result


def differences_adjoint(q: Tensor) -> Tensor:
    """Return the transpose of `differences` applied to q, (N, 2, C, H, W)."""
    down, right = q[:, 0, :, :-1], q[:, 1, ..., :-1]
    x = torch.zeros_like(q[:, 0])
    x[..., 1:, :] += down
    x[..., :-1, :] -= down
    x[..., 1:] += right
    x[..., :-1] -= right
    return x


def total_variation(x: Tensor) -> Tensor:
    """Return the anisotropic total variation ||grad x||_1 per image of x (N, C, H, W), (N,)."""
    return differences(x).abs().flatten(1).sum(1)
