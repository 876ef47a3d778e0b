"""Learned proximal networks: f = grad psi with psi input-convex, hence f is exactly a proximal operator.

"What's in a Prior? Learned Proximal Networks for Inverse Problems", Fang, Buchanan, Sulam, ICLR 2024 (arXiv 2310.14344),
section 3. A map is the proximal operator of some, possibly non-convex, function iff it is the gradient of a
convex function (Gribonval and Nikolova 2020), so f is a prox whatever its weights, as long as psi is convex.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lpn.networks._base import LPN, NetworkSettings

Layer = nn.Linear | nn.Conv2d


def _softplus(z: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Return softplus(beta z) / beta and its derivative sigmoid(beta z).

    softplus(t) = max(t, 0) - log(max(sigmoid(t), 1 - sigmoid(t))): a logarithm in [log 1/2, 0], several times faster on
    a CPU than log1p(exp(t)), and without the cut-off of PyTorch's softplus at t > 20.
    """
    slope = (beta * z).sigmoid_()
    larger = 1 - slope
    torch.maximum(slope, larger, out=larger)
    return z.clamp_min(0).sub_(larger.log_(), alpha=1 / beta), slope


class _SoftplusPair(torch.autograd.Function):
    """`_softplus` with the gradients of both results from one sigmoid."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        value, slope = _softplus(z, beta)
        ctx.save_for_backward(slope)
        ctx.beta = beta
        return value, slope

    @staticmethod
    def backward(ctx: Any, grad_value: Tensor, grad_slope: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (slope,) = ctx.saved_tensors
        return torch.addcmul(grad_value, grad_slope, 1 - slope, value=ctx.beta).mul_(slope), None


def _adjoint(layer: Layer, grad: Tensor, shape: torch.Size) -> Tensor:
    """Apply the transpose of a linear layer's matrix to `grad`; `shape` is the shape of the layer's input."""
    if isinstance(layer, nn.Linear):
        return F.linear(grad, layer.weight.T).view(shape)
    assert not isinstance(layer.padding, str)
    # what a strided convolution leaves over at the far border
    output_padding = [
        n + 2 * p - k - (m - 1) * s
        for n, m, k, s, p in zip(shape[2:], grad.shape[2:], layer.kernel_size, layer.stride, layer.padding, strict=True)
    ]
    return F.conv_transpose2d(grad, layer.weight, None, layer.stride, layer.padding, output_padding)


def _apply(layer: Layer, x: Tensor) -> Tensor:
    return layer(x.flatten(1) if isinstance(layer, nn.Linear) else x)


def _bilinear_matrix(size: int, to: int) -> Tensor:
    """Return the (to, size) matrix of 1-D linear resizing (align_corners false, no antialias)."""
    return F.interpolate(torch.eye(size)[:, None], size=to, mode="linear", align_corners=False)[:, 0].T.contiguous()


class IcnnLPN(LPN):
    """The proximal operator f(x) = grad psi(x) of a learned function, with psi(x) = ICNN(x) + alpha ||x||^2.

    The ICNN is the chain  z_0 = lin_0 x,  z_i = lin_i act(z_{i-1}) + res_{i-1} resize_i(x),  psi = z_K, with
    act = softplus(beta .) / beta. It is convex because the weights of lin_1 ... lin_K are >= 0 (`project` makes them so).
    Parameters are named as in the published checkpoints (`lin.<i>`, `res.<i>`). On a CPU, `torch.set_flush_denormal(True)`
    before anything else halves the time of training if beta is 100: many slopes e^(-beta |z|) are subnormal numbers.

    Args:
        settings: of the network.
        lin: the K+1 linear or convolutional layers of the main chain.
        res: the skips from the input into z_1, z_2, ...
        sizes: the spatial size that the input is resized to before each skip; empty for vectors.
        beta: sharpness of the softplus.
        alpha: weight of the quadratic term; psi is 2 alpha strongly convex.
    """

    def __init__(
        self, settings: NetworkSettings, lin: list[Layer], res: list[Layer], sizes: list[int], beta: float, alpha: float
    ) -> None:
        super().__init__(settings.model_dump(), settings.input_shape)
        self.lin, self.res = (cast("list[Layer]", nn.ModuleList(layers)) for layers in (lin, res))
        self.sizes, self.beta, self.alpha = sizes, beta, alpha
        side = cast("int", settings.input_shape[-1])
        for size in set(sizes) - {side}:
            self.register_buffer(f"resize_{size}", _bilinear_matrix(side, size), persistent=False)

    def extra_repr(self) -> str:
        return f"input_shape={self.input_shape}, beta={self.beta}, alpha={self.alpha}"

    def prox_and_potential(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f(x) and psi(x), which comes at no cost: its chain is the first half of the gradient's.

        The gradient is written out by the chain rule instead of calling autograd inside autograd, so training is an
        ordinary first-order graph: it runs under `no_grad`, in bfloat16 autocast and through `torch.compile`.
        """
        resized = self._resized(x)
        z, shapes, slopes = self._chain(x, resized)
        potential = z[:, 0] + self.alpha * x.flatten(1).square().sum(1)

        last = len(self.lin) - 1  # the output layer, whose skip (if any) is res[last - 1]
        grad_y = self.lin[last].weight.view(1, *slopes[-1].shape[1:])
        # one gradient for each size of the input, so that each is resized back only once
        grads = {x.shape[-1]: 2 * self.alpha * x if self.alpha else torch.zeros_like(x)}
        if len(self.res) == last:
            grads[x.shape[-1]] = grads[x.shape[-1]] + self.res[-1].weight
        for i in range(last - 1, 0, -1):
            grad_z = slopes[i] * grad_y
            skip = _adjoint(self.res[i - 1], grad_z, resized[i - 1].shape)
            size = skip.shape[-1]
            grads[size] = grads[size] + skip if size in grads else skip
            grad_y = _adjoint(self.lin[i], grad_z, shapes[i - 1])
        grad_x = grads.pop(x.shape[-1]) + _adjoint(self.lin[0], slopes[0] * grad_y, x.shape)
        for size, grad in grads.items():
            matrix = getattr(self, f"resize_{size}")
            grad_x = grad_x + matrix.T @ grad @ matrix
        return grad_x, potential

    def potential(self, x: Tensor) -> Tensor:
        """Return psi(x) as (N,), for x of shape (N, *input_shape). Raises ValueError if the shape does not fit."""
        z, _, _ = self._chain(x, self._resized(x))
        return z[:, 0] + self.alpha * x.flatten(1).square().sum(1)

    def _chain(self, x: Tensor, resized: list[Tensor]) -> tuple[Tensor, list[torch.Size], list[Tensor]]:
        """Return the output of the main chain, and the shape and slope of every activation."""
        shapes, slopes = [], []
        z = _apply(self.lin[0], x)
        for i, layer in enumerate(self.lin[1:]):
            y, slope = _SoftplusPair.apply(z, self.beta)
            shapes.append(y.shape)
            slopes.append(slope)
            z = _apply(layer, y)
            if i < len(self.res):
                z = z + _apply(self.res[i], resized[i])
        return z, shapes, slopes

    def constrained_weights(self) -> list[Tensor]:
        """Return the weights that must be >= 0 for psi to be convex: all of the main chain but the first layer's."""
        return [layer.weight for layer in self.lin[1:]]

    def _resized(self, x: Tensor) -> list[Tensor]:
        """Return the input of each skip."""
        if x.shape[1:] != self.input_shape:
            raise ValueError(f"the network takes inputs of shape (N, {', '.join(map(str, self.input_shape))}), "
                             f"not {tuple(x.shape)}")  # fmt: skip
        by_size = {x.shape[-1]: x}
        for size in self.sizes:
            if size not in by_size:
                matrix = getattr(self, f"resize_{size}")
                by_size[size] = matrix @ x @ matrix.T
        return [by_size[size] for size in self.sizes] or [x] * len(self.res)


@torch.no_grad()
def initialise(lin: list[Layer]) -> None:
    """Draw the constrained weights from exp(N(-10, 0.1)); all others keep PyTorch's default."""
    for layer in lin[1:]:
        layer.weight.normal_(-10, 0.1).exp_()
