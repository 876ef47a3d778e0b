"""The prior that an LPN implies: inversion of f and the exact value of the regulariser (LPN paper, section 3.3)."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lpn.cg import dot
from lpn.networks import LPN


@dataclass
class Inversion:
    """The solution y of f(y) = x, per sample.

    Attributes:
        y: (N, *input_shape).
        residual: (N,) relative inversion residual ||f(y) - x|| / max(||x||, 0.01 sqrt(n)) for samples of n entries.
        converged: (N,) whether the residual reached the tolerance.
        iterations: number of iterations of the slowest sample.
    """

    y: Tensor
    residual: Tensor
    converged: Tensor
    iterations: int


class _Objective:
    """phi(y) = psi(y) - <x, y>, strictly convex where alpha > 0; its gradient is f(y) - x, its Hessian J_f(y).

    Gradients, which decide the accuracy, are computed in the dtype of x; Hessian-vector products, which only decide the
    direction of a step, in float32: several times faster.
    """

    def __init__(self, model: LPN, x: Tensor, fast: LPN | None = None) -> None:
        self.model, self.x = model, x
        # in the layout in which convolutions are fastest
        self.fast = fast or copy.deepcopy(model).float().to(memory_format=torch.channels_last).requires_grad_(False)
        self.scale = dot(x, x).sqrt().clamp_min(0.01 * x[:1].numel() ** 0.5)

    def subset(self, index: Tensor) -> "_Objective":
        """Return the objective of the samples `index` alone."""
        return _Objective(self.model, self.x[index], self.fast)

    def in_float32(self) -> "_Objective":
        """Return the same objective in float32."""
        return _Objective(self.fast, self.x.float(), self.fast)

    def gradient(self, y: Tensor) -> Tensor:
        return self.model(y) - self.x

    def hessian(self, y: Tensor) -> Callable[[Tensor], Tensor]:
        """Return v -> J_f(y) v. J_f is symmetric, so a vector-Jacobian product gives it."""
        y = y.detach().float().requires_grad_(True)
        with torch.enable_grad():
            f = self.fast(y)
        return lambda v: torch.autograd.grad(f, y, v.float(), retain_graph=True)[0].to(v.dtype)

    def relative(self, gradient: Tensor) -> Tensor:
        return dot(gradient, gradient).sqrt() / self.scale


def _line_search(objective: _Objective, y: Tensor, g: Tensor, d: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return, per sample, y + t d and its gradient, with t halved until the slope along d has fallen below 0.8 of its size.

    phi is convex, so its slope along d rises from a negative value: as long as it is not positive phi has decreased, and
    the approximate Wolfe condition of Hager and Zhang (2005), slope(t) <= (1 - 2 delta) |slope(0)| with delta = 0.1,
    bounds how far t may overshoot. Slopes are not subject to the cancellation that differences of phi suffer.
    """
    slope = dot(g, d).abs()
    new_y = y + t * d
    new_g = objective.gradient(new_y)
    for _ in range(40):
        bad = ~(dot(new_g, d) <= 0.8 * slope).flatten()  # a NaN is bad
        if not bad.any():
            break
        t = torch.where(bad.view_as(t), t / 2, t)
        new_y[bad] = (y + t * d)[bad]
        new_g[bad] = objective.subset(bad).gradient(new_y[bad])
    return new_y, new_g


CG_ITERATIONS = 500  # a truncated step still descends; J_f may be as ill-conditioned as 1 / alpha


def _conjugate_gradients(objective: _Objective, y: Tensor, g: Tensor, tolerance: float) -> Tensor:
    """Solve J_f(y) d = -g per sample, to the forcing tolerance max(min(1/2, sqrt(r)), tolerance / (2 r)) ||g||.

    Here r is the relative residual. The second term keeps the last step from solving far below the tolerance (Kelley,
    Iterative Methods for Linear and Nonlinear Equations, 1995, section 6.3). Samples that have ended are left out once they
    are the larger part: that needs a new linearisation, which costs as much as a product.
    """
    relative = objective.relative(g)
    forcing = torch.maximum(relative.sqrt().clamp_max(0.5), tolerance / (2 * relative)) * dot(g, g).sqrt()
    solution, index, hessian = torch.zeros_like(g), torch.arange(len(g), device=g.device), objective.hessian(y)
    d, r = torch.zeros_like(g), -g
    p, rr = r, dot(r, r)
    running = rr > 0
    for _ in range(min(2 * g[0].numel() + 10, CG_ITERATIONS)):
        hp = hessian(p)
        curvature = dot(p, hp)
        # a direction without curvature (scalar networks have no quadratic term): end there, or use it if it is the first
        flat = running & (curvature <= 1e-14 * dot(p, p))
        d = torch.where(flat & (dot(d, d) == 0), p, d)
        running = running & ~flat
        step = torch.where(running, rr / torch.where(running, curvature, 1), 0)
        d, r = d + step * p, r - step * hp
        new_rr = dot(r, r)
        running = running & (new_rr.sqrt() > forcing)
        if not running.any():
            break
        p = r + torch.where(running, new_rr / rr, 0) * p
        rr = new_rr
        if 2 * running.sum() < len(index):
            solution[index] = d
            keep = running.flatten()
            index, d, r, p, rr, forcing, running = (part[keep] for part in (index, d, r, p, rr, forcing, running))
            hessian = objective.subset(index).hessian(y[index])
    solution[index] = d
    return solution


def _newton_cg(objective: _Objective, y: Tensor, tolerance: float, max_iterations: int) -> tuple[Tensor, Tensor, int]:
    """Newton's method, each step by conjugate gradients with Hessian-vector products (Nocedal and Wright, alg. 7.1).

    Samples that have converged are left out of further steps.
    """
    y = y.clone()
    g = objective.gradient(y)
    for iteration in range(max_iterations):
        active = (objective.relative(g) > tolerance).flatten()
        if not active.any():
            return y, g, iteration
        part = objective.subset(active)
        y_part, g_part = y[active], g[active]
        d = _conjugate_gradients(part, y_part, g_part, tolerance)
        y[active], g[active] = _line_search(part, y_part, g_part, d, torch.ones_like(part.scale))
    return y, g, max_iterations


def _nonlinear_cg(objective: _Objective, y: Tensor, tolerance: float, max_iterations: int) -> tuple[Tensor, Tensor, int]:
    """Polak-Ribiere+ conjugate gradients on phi; the first trial step is the exact one of the local quadratic model."""
    g = objective.gradient(y)
    d = -g
    for iteration in range(max_iterations):
        active = objective.relative(g) > tolerance
        if not active.any():
            return y, g, iteration
        curvature = dot(d, objective.hessian(y)(d))
        t = torch.where(curvature > 0, -dot(g, d) / curvature.clamp_min(1e-300), 1.0)
        y, new_g = _line_search(objective, y, g, d, torch.where(active, t, 0))
        beta = (dot(new_g, new_g - g) / dot(g, g).clamp_min(1e-300)).clamp_min(0)
        d = beta * d - new_g
        d = torch.where(dot(d, new_g) < 0, d, -new_g)
        g = new_g
    return y, g, max_iterations


def _adam(
    objective: _Objective, y: Tensor, tolerance: float, max_iterations: int, least_squares: bool
) -> tuple[Tensor, Tensor, int]:
    """Adam (lr 1e-2) on phi or on ||f(y) - x||^2, whose gradient is 2 J_f (f(y) - x)."""
    y = y.clone()
    optimizer = torch.optim.Adam([y], lr=1e-2)
    for iteration in range(max_iterations):
        g = objective.gradient(y)
        y.grad = 2 * objective.hessian(y)(g) if least_squares else g
        if (objective.relative(g) <= tolerance).all():
            return y.detach(), g, iteration
        optimizer.step()
    return y.detach(), objective.gradient(y), max_iterations


# each returns y, its gradient (an evaluation of f is expensive) and the number of iterations
_SOLVERS: dict[str, Callable[[_Objective, Tensor, float, int], tuple[Tensor, Tensor, int]]] = {
    "newton_cg": _newton_cg,
    "cvx_cg": _nonlinear_cg,
    "cvx_gd": lambda *args: _adam(*args, least_squares=False),
    "ls": lambda *args: _adam(*args, least_squares=True),
}
METHODS = tuple(_SOLVERS)


@torch.no_grad()
def invert(
    model: LPN,
    x: Tensor,
    method: str = "newton_cg",
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    start: Tensor | None = None,
) -> Inversion:
    """Solve f(y) = x for a batch x (N, *input_shape), by `min_y psi(y) - <x, y>` (LPN paper, section 3.3).

    Args:
        model: the LPN, in the dtype and on the device of x; float64 is advised, since psi is large.
        x: the points; all samples are solved at once and each stops at its own convergence.
        method: "newton_cg" (second order, the fastest), "cvx_cg" (nonlinear conjugate gradients on the convex objective),
            "cvx_gd" (Adam on the same), "ls" (Adam on ||f(y) - x||^2).
        tolerance: on the relative residual of `Inversion`.
        max_iterations: of the method's outer loop.
        start: where to start from, x by default.

    Raises ValueError for an unknown method.
    """
    if method not in _SOLVERS:
        raise ValueError(f"unknown inversion method '{method}'; the known ones are: {', '.join(METHODS)}")
    objective, solve = _Objective(model, x), _SOLVERS[method]
    y, iterations = x if start is None else start, 0
    if x.dtype == torch.float64:  # most of the way in float32, where a step costs a fraction
        single = y.float()
        solution, _, iterations = solve(objective.in_float32(), single, max(tolerance, 1e-4), max_iterations)
        y = y + (solution - single)
    y, gradient, further = solve(objective, y, tolerance, max_iterations)
    residual = objective.relative(gradient).flatten()
    return Inversion(y, residual, residual <= tolerance, iterations + further)


@torch.no_grad()
def regulariser(model: LPN, x: Tensor, y: Tensor) -> Tensor:
    """Return `R(x) = <x, y> - 1/2 ||x||^2 - psi(y)` as (N,), where y = f^{-1}(x) is given (LPN paper, eq. 3.5).

    R is the learned regulariser: minus the log of the learned prior, up to an additive constant. Only differences mean
    anything.
    """
    return (x * y).flatten(1).sum(1) - x.flatten(1).square().sum(1) / 2 - model.potential(y)
