"""The prior that an LPN implies: inversion of f and the exact value of the regulariser (LPN paper, section 3.3)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lpn.networks import LPN


@dataclass
class Inversion:
    """The solution y of f(y) = x, per sample.

    Attributes:
        y: (N, *input_shape).
        residual: (N,) relative inversion residual ||f(y) - x|| / max(||x||, 1e-12).
        converged: (N,) whether the residual reached the tolerance.
        iterations: number of iterations taken by the slowest sample.
    """

    y: Tensor
    residual: Tensor
    converged: Tensor
    iterations: int


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product per sample, (N, 1, ..., 1)."""
    return (a * b).flatten(1).sum(1).view(-1, *[1] * (a.dim() - 1))


class _Objective:
    """phi(y) = psi(y) - <x, y>, strictly convex where alpha > 0; its gradient is f(y) - x, its Hessian J_f(y)."""

    def __init__(self, model: LPN, x: Tensor) -> None:
        self.model, self.x = model, x
        self.scale = _dot(x, x).sqrt().clamp_min(1e-12)

    def value(self, y: Tensor) -> Tensor:
        return self.model.potential(y).view(-1, *[1] * (y.dim() - 1)) - _dot(self.x, y)

    def gradient(self, y: Tensor) -> Tensor:
        return self.model(y) - self.x

    def linearise(self, y: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Return the gradient and v -> J_f(y) v. J_f is symmetric, so a vector-Jacobian product gives it."""
        y = y.detach().requires_grad_(True)
        with torch.enable_grad():
            f = self.model(y)
        return f.detach() - self.x, lambda v: torch.autograd.grad(f, y, v, retain_graph=True)[0]

    def relative(self, gradient: Tensor) -> Tensor:
        return _dot(gradient, gradient).sqrt() / self.scale


def _line_search(objective: _Objective, y: Tensor, g: Tensor, d: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Backtrack t per sample until phi decreases enough or, where rounding hides that, the gradient does not grow.

    Returns the step and the new gradient; the step is 0 where no decrease was found.
    """
    slope, value, norm = _dot(g, d), objective.value(y), _dot(g, g)
    accepted = torch.zeros_like(t, dtype=torch.bool)
    gradient = g
    for _ in range(30):
        new_y = y + t * d
        new_gradient = objective.gradient(new_y)
        good = objective.value(new_y) <= value + 1e-4 * t * slope
        good |= (_dot(new_gradient, new_gradient) <= norm) & (_dot(new_gradient, d).abs() <= slope.abs())
        take = good & ~accepted
        gradient = torch.where(take, new_gradient, gradient)
        accepted |= good
        if accepted.all():
            break
        t = torch.where(accepted, t, t / 2)
    return torch.where(accepted, t, 0), gradient


def _newton_cg(objective: _Objective, y: Tensor, tolerance: float, max_iterations: int) -> tuple[Tensor, int]:
    """Newton's method, each step by conjugate gradients with Hessian-vector products (Nocedal and Wright, alg. 7.1)."""
    for iteration in range(max_iterations):
        g, hessian = objective.linearise(y)
        relative = objective.relative(g)
        active = relative > tolerance
        if not active.any():
            return y, iteration
        forcing = torch.minimum(relative.sqrt(), torch.full_like(relative, 0.5)) * _dot(g, g).sqrt()
        d, r = torch.zeros_like(g), -g
        p, rr = r.clone(), _dot(r, r)
        running = active & (rr.sqrt() > 0)
        for _ in range(min(200, 2 * g[0].numel() + 10)):
            hp = hessian(p)
            curvature = _dot(p, hp)
            # a direction without curvature (1-D nets have no quadratic term): stop there, or take it when it is the first
            flat = running & (curvature <= 1e-14 * _dot(p, p))
            d = torch.where(flat & (_dot(d, d) == 0), p, d)
            running = running & ~flat
            step = torch.where(running, rr / torch.where(running, curvature, 1), 0)
            d, r = d + step * p, r - step * hp
            new_rr = _dot(r, r)
            running = running & (new_rr.sqrt() > forcing)
            if not running.any():
                break
            p = r + torch.where(running, new_rr / rr, 0) * p
            rr = new_rr
        t, _ = _line_search(objective, y, g, d, torch.ones_like(relative))
        t = torch.where(active, t, 0)
        if not t.any():
            return y, iteration
        y = y + t * d
    return y, max_iterations


def _nonlinear_cg(objective: _Objective, y: Tensor, tolerance: float, max_iterations: int) -> tuple[Tensor, int]:
    """Polak-Ribiere+ conjugate gradients on phi; the first trial step is the exact one of the local quadratic model."""
    d, old_g, old_gg = torch.zeros_like(y), None, None
    for iteration in range(max_iterations):
        g, hessian = objective.linearise(y)
        active = objective.relative(g) > tolerance
        if not active.any():
            return y, iteration
        gg = _dot(g, g)
        beta = torch.zeros_like(gg) if old_g is None else (_dot(g, g - old_g) / old_gg.clamp_min(1e-300)).clamp_min(0)
        d = beta * d - g
        d = torch.where(_dot(d, g) < 0, d, -g)
        curvature = _dot(d, hessian(d))
        t = torch.where(curvature > 0, -_dot(g, d) / curvature.clamp_min(1e-300), 1.0)
        t, _ = _line_search(objective, y, g, d, t)
        t = torch.where(active, t, 0)
        if not t.any():
            return y, iteration
        y, old_g, old_gg = y + t * d, g, gg
    return y, max_iterations


def _adam(
    objective: _Objective, y: Tensor, tolerance: float, max_iterations: int, least_squares: bool
) -> tuple[Tensor, int]:
    """Adam (lr 1e-2) on phi or on ||f(y) - x||^2, whose gradient is 2 J_f (f(y) - x)."""
    y = y.clone()
    optimizer = torch.optim.Adam([y], lr=1e-2)
    for iteration in range(max_iterations):
        if least_squares:
            g, hessian = objective.linearise(y)
            y.grad = 2 * hessian(g)
        else:
            g = objective.gradient(y)
            y.grad = g
        if (objective.relative(g) <= tolerance).all():
            return y.detach(), iteration
        optimizer.step()
    return y.detach(), max_iterations


_SOLVERS: dict[str, Callable[[_Objective, Tensor, float, int], tuple[Tensor, int]]] = {
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
    """Solve f(y) = x for a batch x (N, *input_shape), by  min_y psi(y) - <x, y>  (LPN paper, section 3.3).

    Args:
        model: the LPN, in the dtype and on the device of x; float64 is advised, since psi is large.
        x: the points; all samples are solved at once and each stops at its own convergence.
        method: "newton_cg" (second order, the fastest), "cvx_cg" (nonlinear conjugate gradients on the convex objective),
            "cvx_gd" (Adam on the same), "ls" (Adam on ||f(y) - x||^2).
        tolerance: on the relative residual ||f(y) - x|| / ||x||.
        max_iterations: of the method's outer loop.
        start: where to start from, x by default.

    Raises KeyError for an unknown method.
    """
    objective = _Objective(model, x)
    y, iterations = _SOLVERS[method](objective, x if start is None else start, tolerance, max_iterations)
    residual = objective.relative(objective.gradient(y)).flatten()
    return Inversion(y, residual, residual <= tolerance, iterations)


@torch.no_grad()
def log_prior(model: LPN, x: Tensor, y: Tensor) -> Tensor:
    """Return R(x) = <x, y> - 1/2 ||x||^2 - psi(y) as (N,), where y = f^{-1}(x) is given (LPN paper, eq. 3.5).

    R is the learned regulariser, minus the log of the learned prior up to an additive constant: only differences mean
    anything.
    """
    return (x * y).flatten(1).sum(1) - x.flatten(1).square().sum(1) / 2 - model.potential(y)
