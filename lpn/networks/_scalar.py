"""The LPN of one variable, with its training step written by hand.

The networks are so narrow that a CPU spends most of a step on passes over memory and calls, which this about halves.
"""

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lpn.networks._icnn import IcnnLPN


def _negative_softplus(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return -softplus(-z) and sigmoid(z), which is 1 - s with s the slope of softplus at -z.

    -softplus(-z) = log sigmoid(z), which is z to rounding where sigmoid(z) is below 1e-20. What is smaller counts as 1e-20:
    arithmetic with subnormal numbers is slow.
    """
    complement = z.sigmoid().clamp_min_(1e-20)
    value = complement.log()
    return torch.minimum(value, z, out=value), complement


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
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
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


class ScalarLPN(IcnnLPN):
    """An LPN of one variable, whose training step is written by hand."""

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x) for x of shape (N, 1); see `LPN.forward`."""
        if x.requires_grad or x.shape[1:] != self.input_shape or torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        layers = [(lin.weight, res.weight, res.bias) for lin, res in zip(self.lin[1:-1], self.res, strict=False)]
        ends = (self.lin[0].weight, self.lin[-1].weight, self.res[-1].weight)
        icnn = _ScalarProx.apply(x, self.beta, *ends, *itertools.chain(*layers))
        return icnn + 2 * self.alpha * x if self.alpha else icnn
