"""Learned proximal networks: f = grad psi with psi input-convex, hence f is exactly a proximal operator.

"What's in a Prior? Learned Proximal Networks for Inverse Problems", Fang, Buchanan, Sulam, ICLR 2024 (arXiv 2310.14344),
section 3. A map is the proximal operator of some, possibly non-convex, function iff it is the gradient of a
convex function (Gribonval and Nikolova 2020), so f is a prox whatever its weights, as long as psi is convex.
"""

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lpn.errors import UserError


def _softplus(z: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Return softplus(beta z) / beta and its derivative sigmoid(beta z).

    softplus(t) = max(t, 0) - log(max(sigmoid(t), 1 - sigmoid(t))): a logarithm in [log 1/2, 0], several times faster on
    a CPU than log1p(exp(t)), and without the cut-off of PyTorch's softplus at t > 20.
    """
    slope = (beta * z).sigmoid_()
    larger = 1 - slope
    torch.maximum(slope, larger, out=larger)
    return z.clamp_min(0).sub_(larger.log_(), alpha=1 / beta), slope


def _negative_softplus(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return -softplus(-z) and sigmoid(z), which is 1 - s with s the slope of softplus at -z.

    -softplus(-z) = log sigmoid(z), which is z to rounding where sigmoid(z) is below 1e-20. What is smaller counts as 1e-20:
    arithmetic with subnormal numbers is slow.
    """
    complement = z.sigmoid().clamp_min_(1e-20)
    value = complement.log()
    return torch.minimum(value, z, out=value), complement


class _SoftplusPair(torch.autograd.Function):
    """`_softplus` with the gradients of both results from one sigmoid."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        value, slope = _softplus(z, beta)
        ctx.save_for_backward(slope)
        ctx.beta = beta
        return value, slope

    @staticmethod
    def backward(ctx: Any, grad_value: Tensor, grad_slope: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return torch.addcmul(grad_value, grad_slope, 1 - slope, value=ctx.beta).mul_(slope), None


def _adjoint(layer: nn.Module, grad: Tensor, shape: torch.Size) -> Tensor:
    """Apply the transpose of a linear layer's matrix to `grad`; `shape` is the shape of the layer's input."""
    if isinstance(layer, nn.Linear):
        return F.linear(grad, layer.weight.T).view(shape)
    # what a strided convolution leaves over at the far border
    output_padding = [
        n + 2 * p - k - (m - 1) * s
        for n, m, k, s, p in zip(shape[2:], grad.shape[2:], layer.kernel_size, layer.stride, layer.padding, strict=True)
    ]
    return F.conv_transpose2d(grad, layer.weight, None, layer.stride, layer.padding, output_padding)


def _apply(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x.flatten(1) if isinstance(layer, nn.Linear) else x)


def _bilinear_matrix(size: int, to: int) -> Tensor:
    """Return the (to, size) matrix of 1-D linear resizing (align_corners false, no antialias)."""
    unit = torch.eye(size)[:, None]
    return F.interpolate(unit, size=to, mode="linear", align_corners=False)[:, 0].T.contiguous()


class Denoiser(nn.Module):
    """A map of noisy to clean samples that training fits; what LPNs and unconstrained denoisers share.

    Args:
        config: what `build_network` needs to make this network again.
        input_shape: shape of one sample without the batch axis; for convolutional networks, which take images of any size,
            sides are None.
    """

    def __init__(self, config: dict[str, Any], input_shape: tuple[int | None, ...]) -> None:
        super().__init__()
        self.config, self.input_shape = config, input_shape

    def project(self) -> None:
        """Restore the constraints on the weights, if there are any, after a step of the optimiser."""


class LPN(Denoiser):
    """The proximal operator f(x) = grad psi(x) of a learned function, with psi(x) = ICNN(x) + alpha ||x||^2.

    The ICNN is the chain  z_0 = lin_0 x,  z_i = lin_i act(z_{i-1}) + res_{i-1} resize_i(x),  psi = z_K, with
    act = softplus(beta .) / beta. It is convex because the weights of lin_1 ... lin_K are >= 0 (`project` makes them so).
    Parameters are named as in the published checkpoints (`lin.<i>`, `res.<i>`). On a CPU, `torch.set_flush_denormal(True)`
    before anything else halves the time of training where beta is 100: slopes e^(-beta |z|) are often subnormal numbers.

    Args:
        lin: the K+1 linear or convolutional layers of the main chain.
        res: the skips from the input into z_1, z_2, ...
        sizes: the spatial size that the input is resized to before each skip; empty for vectors.
        input_shape: shape of one input without the batch axis.
        beta: sharpness of the softplus.
        alpha: weight of the quadratic term; psi is 2 alpha strongly convex.
        config: what `build_network` needs to make this network again.
    """

    def __init__(
        self,
        lin: list[nn.Module],
        res: list[nn.Module],
        sizes: list[int],
        input_shape: tuple[int, ...],
        beta: float,
        alpha: float,
        config: dict[str, Any],
    ) -> None:
        super().__init__(config, input_shape)
        self.lin, self.res = nn.ModuleList(lin), nn.ModuleList(res)
        self.sizes, self.beta, self.alpha = sizes, beta, alpha
        for size in set(sizes) - {input_shape[-1]}:
            self.register_buffer(f"resize_{size}", _bilinear_matrix(input_shape[-1], size), persistent=False)

    def extra_repr(self) -> str:
        return f"input_shape={self.input_shape}, beta={self.beta}, alpha={self.alpha}"

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x) = grad psi(x), the proximal operator of the learned prior, for (N, *input_shape).

        The gradient is written out by the chain rule instead of calling autograd inside autograd, so training is an
        ordinary first-order graph: it runs under `no_grad`, in bfloat16 autocast and through `torch.compile`.
        Raises ValueError where the shape of x does not fit.
        """
        return self.prox_and_potential(x)[0]

    def prox_and_potential(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f(x) and psi(x), which comes at no cost: its chain is the first half of the gradient's."""
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
        """Return psi(x) as (N,), for x of shape (N, *input_shape). Raises ValueError where the shape does not fit."""
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

    def constrained_weights(self) -> list[nn.Parameter]:
        """Return the weights that must be >= 0 for psi to be convex: all of the main chain but the first layer's."""
        return [layer.weight for layer in self.lin[1:]]

    @torch.no_grad()
    def project(self) -> None:
        """Project the constrained weights onto >= 0."""
        torch._foreach_clamp_min_(self.constrained_weights(), 0.0)

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


class _ScalarProx(torch.autograd.Function):
    """The gradient of a scalar LPN's ICNN, and that of its parameters, by hand: about half the passes that autograd makes.

    For an output gradient v the parameter gradient is that of <v, grad psi(x)>, the derivative of psi in direction v.
    With delta_i = d psi / d z_i from the backward pass, s_i the slopes, and a dot for the derivative in direction v:

        z._{i+1} = W_i y._i + r_i v,    y._i = s_i z._i,
        delta._i = beta (1 - s_i) z._i delta_i + s_i W_i^T delta._{i+1},
        dW_i = delta_{i+1} y._i^T + delta._{i+1} y_i^T,    dr_i = delta_{i+1} v^T + delta._{i+1} x^T

    (tangents of the reverse mode: Griewank and Walther, Evaluating Derivatives, 2008, section 5.1). To save passes over
    memory, -beta z_i and -beta y_i stand for z_i and y_i, beta z._i and beta y._i for the tangents, the factors moving into
    the small matrices, and only 1 - s_i is kept of the slopes. Samples are columns, the layout in which a CPU multiplies
    narrow matrices fastest.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: float, first: Tensor, last: Tensor, last_skip: Tensor, *rest: Tensor) -> Tensor:
        layers = list(zip(rest[::3], rest[1::3], rest[2::3], strict=True))
        row = x.T
        with_one = torch.cat([row, torch.ones_like(row)])  # what skips and biases are multiplied by
        z = (-beta * first) @ row
        values, complements = [], []
        for weight, skip, bias in layers:
            value, complement = _negative_softplus(z)
            values.append(value)
            complements.append(complement)
            z = ((-beta * torch.cat([skip, bias[:, None]], 1)) @ with_one).addmm_(weight, value)
        complements.append(z.sigmoid_().clamp_min_(1e-20))

        deltas = [(1 - complements[-1]).mul_(last.T)]
        result = last_skip.expand(row.shape)
        for (weight, skip, _), complement in zip(reversed(layers), reversed(complements[:-1]), strict=True):
            result = torch.addmm(result, skip.T, deltas[0])
            delta = weight.T @ deltas[0]
            deltas.insert(0, delta.addcmul_(delta, complement, value=-1))
        ctx.beta, ctx.values, ctx.complements, ctx.deltas = beta, values, complements, deltas
        ctx.save_for_backward(x, first, *rest)
        return torch.addmm(result, first.T, deltas[0]).T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        x, first, *rest = ctx.saved_tensors
        layers = list(zip(rest[::3], rest[1::3], strict=False))
        direction, unit = ctx.beta * v.T, 1 / ctx.beta
        tangents, tangent_values = [], []
        tangent = first @ direction
        for i, complement in enumerate(ctx.complements):
            tangents.append(tangent)
            tangent_values.append(torch.addcmul(tangent, tangent, complement, value=-1))
            if i < len(layers):
                weight, skip = layers[i]
                tangent = (skip @ direction).addmm_(weight, tangent_values[-1])
        last_gradient = tangent_values[-1].sum(1)[None] * unit

        gradients: list[Tensor] = []
        change = tangents[-1].mul_(ctx.deltas[-1]).mul_(ctx.complements[-1])
        for i in range(len(layers), 0, -1):
            weight = (ctx.deltas[i] @ tangent_values[i - 1].T).addmm_(change, ctx.values[i - 1].T, alpha=-1).mul_(unit)
            skip = (ctx.deltas[i] @ v).addmm_(change, x)
            gradients = [weight, skip, change.sum(1), *gradients]
            through = layers[i - 1][0].T @ change
            change = through.lerp_(tangents[i - 1].mul_(ctx.deltas[i - 1]), ctx.complements[i - 1])
        first_gradient = (ctx.deltas[0] @ v).addmm_(change, x)
        return None, None, first_gradient, last_gradient, v.sum().view(1, 1), *gradients


class ScalarLPN(LPN):
    """An LPN of one variable, whose training step is written by hand."""

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x) for x of shape (N, 1); see `LPN.forward`."""
        if x.requires_grad or x.shape[1:] != self.input_shape or torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        layers = [(lin.weight, res.weight, res.bias) for lin, res in zip(self.lin[1:-1], self.res, strict=False)]
        ends = (self.lin[0].weight, self.lin[-1].weight, self.res[-1].weight)
        icnn = _ScalarProx.apply(x, self.beta, *ends, *itertools.chain(*layers))
        return icnn + 2 * self.alpha * x if self.alpha else icnn


def _initialise(lin: list[nn.Module]) -> None:
    """Draw the constrained weights from exp(N(-10, 0.1)); all others keep PyTorch's default."""
    for layer in lin[1:]:
        with torch.no_grad():
            layer.weight.normal_(-10, 0.1).exp_()


def lpn_1d(hidden: int = 50, layers: int = 4, beta: float = 10, alpha: float = 0) -> LPN:
    """Return the scalar LPN of the Laplacian experiment; inputs (N, 1), by default no quadratic term.

    As published, all weights keep PyTorch's default initialisation: about half of the constrained ones are
    negative and become zero at the first projection.
    """
    lin = [nn.Linear(1, hidden, bias=False)]
    lin += [nn.Linear(hidden, hidden, bias=False) for _ in range(layers)]
    lin += [nn.Linear(hidden, 1, bias=False)]
    res = [nn.Linear(1, hidden) for _ in range(layers)] + [nn.Linear(1, 1)]
    config = {"name": "lpn_1d", "hidden": hidden, "layers": layers, "beta": beta, "alpha": alpha}
    return ScalarLPN(lin, res, [], (1,), beta, alpha, config)


def lpn_28(channels: int = 1, hidden: int = 64, beta: float = 10, alpha: float = 0.01) -> LPN:
    """Return the LPN for 28x28 images (MNIST); inputs (N, channels, 28, 28) in [0, 1]."""
    strides = [1, 2, 1, 2]
    widths = [channels, hidden, hidden, hidden]
    lin: list[nn.Module] = [
        nn.Conv2d(width, hidden, 3, stride, 1, bias=False) for width, stride in zip(widths, strides, strict=True)
    ]
    lin += [nn.Linear(49 * hidden, 64, bias=False), nn.Linear(64, 1, bias=False)]
    res: list[nn.Module] = [nn.Conv2d(channels, hidden, 3, stride, 1) for stride in strides[1:]]
    res += [nn.Linear(49 * channels, 64)]
    _initialise(lin)
    config = {"name": "lpn_28", "channels": channels, "hidden": hidden, "beta": beta, "alpha": alpha}
    return LPN(lin, res, [28, 14, 14, 7], (channels, 28, 28), beta, alpha, config)


def lpn_128(channels: int = 3, hidden: int = 256, beta: float = 100, alpha: float = 1e-6, size: int = 128) -> LPN:
    """Return the LPN for 128x128 images (CelebA, Mayo-CT); inputs (N, channels, size, size) in [0, 1].

    `size`, a multiple of 8, is 128 as published; smaller ones have the same layers with a last convolution of size / 8.
    """
    if size % 8:
        raise UserError(f"config key 'network.size' is {size}; it must be a multiple of 8.")
    strides = [1, 2, 1, 2, 1, 2]
    widths = [channels] + [hidden] * 5
    lin: list[nn.Module] = [
        nn.Conv2d(width, hidden, 3, stride, 1, bias=i == 0)
        for i, (width, stride) in enumerate(zip(widths, strides, strict=True))
    ]
    lin += [nn.Conv2d(hidden, 64, size // 8, bias=False), nn.Linear(64, 1)]
    res: list[nn.Module] = [nn.Conv2d(channels, hidden, 3, stride, 1) for stride in strides[1:]]
    res += [nn.Conv2d(channels, 64, size // 8)]
    _initialise(lin)
    config = {"name": "lpn_128", "channels": channels, "hidden": hidden, "beta": beta, "alpha": alpha, "size": size}
    sizes = [size, size // 2, size // 2, size // 4, size // 4, size // 8]
    return LPN(lin, res, sizes, (channels, size, size), beta, alpha, config)


class DnCNN(Denoiser):
    """The unconstrained denoiser f(x) = x - net(x): `depth` 3x3 convolutions with bias and ReLU between them.

    "Learning Proximal Operators" (Meinhardt et al., ICCV 2017), section 4: DnCNN (Zhang et al. 2017) without batch
    normalisation, weights He-normal. Inputs (N, channels, H, W) of any size.
    """

    def __init__(self, channels: int = 1, depth: int = 17, hidden: int = 64) -> None:
        config = {"name": "dncnn", "channels": channels, "depth": depth, "hidden": hidden}
        super().__init__(config, (channels, None, None))
        widths = [channels, *[hidden] * (depth - 1), channels]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))
        for layer in self.convolutions:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the denoised x (N, channels, H, W)."""
        z = x
        for layer in self.convolutions[:-1]:
            z = F.relu(layer(z))
        return x - self.convolutions[-1](z)


class GradientStep(Denoiser):
    """The gradient-step denoiser f(x) = x - grad g(x) with g(x) = 1/2 ||x - N(x)||^2.

    Hurault, Leclaire, Papadakis, "Gradient Step Denoiser for convergent Plug-and-Play", ICLR 2022, section 3. N is a small
    U-Net of two scales with ELU, so that g is differentiable. Inputs (N, channels, H, W) of even sides.
    """

    def __init__(self, channels: int = 3, hidden: int = 32, blocks: int = 2) -> None:
        config = {"name": "gradient_step", "channels": channels, "hidden": hidden, "blocks": blocks}
        super().__init__(config, (channels, None, None))

        def convolutions(width: int) -> list[nn.Module]:
            return [part for _ in range(blocks) for part in (nn.Conv2d(width, width, 3, padding=1), nn.ELU())]

        self.head = nn.Sequential(nn.Conv2d(channels, hidden, 3, padding=1), nn.ELU(), *convolutions(hidden))
        self.coarse = nn.Sequential(
            nn.Conv2d(hidden, 2 * hidden, 2, 2), *convolutions(2 * hidden), nn.ConvTranspose2d(2 * hidden, hidden, 2, 2)
        )
        self.tail = nn.Sequential(*convolutions(hidden), nn.Conv2d(hidden, channels, 3, padding=1))

    def potential(self, x: Tensor) -> Tensor:
        """Return g(x) as (N,). Raises UserError for odd sides."""
        height, width = x.shape[-2:]
        if height % 2 or width % 2:
            raise UserError(f"gradient_step takes images of even sides, not {height} x {width}.")
        z = self.head(x)
        return (x - self.tail(z + self.coarse(z))).flatten(1).square().sum(1) / 2

    def forward(self, x: Tensor) -> Tensor:
        """Return x - grad g(x), for (N, channels, H, W); differentiable in training mode."""
        with torch.enable_grad():
            y = x.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self.potential(y).sum(), y, create_graph=self.training)
        return x - gradient


NETWORKS: dict[str, Callable[..., Denoiser]] = {
    "lpn_1d": lpn_1d,
    "lpn_28": lpn_28,
    "lpn_128": lpn_128,
    "dncnn": DnCNN,
    "gradient_step": GradientStep,
}


def build_network(config: dict[str, Any]) -> Denoiser:
    """Build a network from its config, e.g. {"name": "lpn_28", "hidden": 64}.

    Raises UserError for an unknown name or an argument that the network does not have.
    """
    arguments = dict(config)
    name = arguments.pop("name", None)
    if name not in NETWORKS:
        raise UserError(f"config key 'network.name' is {name!r}; the known networks are: {', '.join(NETWORKS)}.")
    try:
        return NETWORKS[name](**arguments)
    except TypeError as error:
        raise UserError(f"config key 'network' does not fit {name}: {error}.") from error
