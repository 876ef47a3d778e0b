"""The prior that an LPN implies: inversion of f and the exact value of the regulariser (LPN paper, section 3.3)."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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
    size or direction of a step, in float32: several times faster.
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
    bounds how far t may overshoot. Slopes are not subject to the cancellation that differences of phi suffer. Samples whose
    t d is 0 cost nothing. They stay where they are, as do those that find no t.
    """
    slope = dot(g, d).abs()
    new_y, new_g = y + t * d, g.clone()
    searching = (dot(t * d, t * d) > 0).flatten()
    for _ in range(40):
        if not searching.any():
            break
        new_g[searching] = objective.subset(searching).gradient(new_y[searching])
        searching &= ~(dot(new_g, d) <= 0.8 * slope).flatten()  # a NaN is too far
        t = torch.where(searching.view_as(t), t / 2, t)
        new_y[searching] = (y + t * d)[searching]
    new_y[searching], new_g[searching] = y[searching], g[searching]
    return new_y, new_g


class _QuasiNewton:
    """L-BFGS (Nocedal and Wright, algorithm 7.4) whose initial matrix is an estimate of the diagonal of J_f.

    The entries of the diagonal are the sums of s * z over those of s * s, with steps s and differences z of gradients: z
    stands for J_f s (Bekas, Kokiopoulou and Saad, An estimator for the diagonal of a matrix, 2007). J_f of an LPN of images
    is nearly banded. Its diagonal goes from 2 alpha in the background to 1 at strokes: it spares more than half of the
    evaluations of f. It is kept above 0.3 of its mean, which bounds the steps in entries of small curvature.

    All samples are solved at once. A sample costs no more evaluations once it has converged, or is near and has come no
    nearer in `PATIENCE` iterations, which is the work of rounding. The diagonal and the last pairs stay when the object is
    called again, so that float64 goes on where float32 ended.
    """

    PAIRS = 10
    PATIENCE = 20

    def __init__(self, x: Tensor) -> None:
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []  # s, z and 1 / <s, z>
        self.squares = torch.full(x.shape, 1e-12, device=x.device)
        self.products = 0.5 * self.squares  # before the first step the diagonal is 0.5, between background and strokes

    def __call__(
        self, objective: _Objective, y: Tensor, tolerance: float, max_iterations: int
    ) -> tuple[Tensor, Tensor, int]:
        g = objective.gradient(y)
        least, waited = torch.full_like(objective.scale, torch.inf), torch.zeros_like(objective.scale)
        for iteration in range(max_iterations):
            residual = objective.relative(g)
            waited = torch.where((residual < least) | (residual > 0.001), 0, waited + 1)  # further away it may rise first
            least = torch.minimum(least, residual)
            active = (residual > tolerance) & (waited < self.PATIENCE)
            if not active.any():
                return y, g, iteration
            d = torch.where(active, -self._times_inverse(g), 0)
            new_y, new_g = _line_search(objective, y, g, d, torch.ones_like(objective.scale))
            self._remember(new_y - y, new_g - g)
            y, g = new_y, new_g
        return y, g, max_iterations

    def _remember(self, s: Tensor, z: Tensor) -> None:
        sz, ss = dot(s, z), dot(s, s)
        useful = (sz > 0) & (ss > 0)  # not so of samples that did not move, or by less than the rounding
        inverse = torch.where(useful, 1 / sz, 0)
        self.pairs = [*self.pairs, (s, z, inverse)][-self.PAIRS :]
        self.products += torch.where(useful, s * z / ss, 0)
        self.squares += torch.where(useful, s * s / ss, 0)

    def _diagonal(self) -> Tensor:
        mean = dot(self.products, torch.ones_like(self.products)) / dot(self.squares, torch.ones_like(self.squares))
        few = 1e-3 * self.squares.flatten(1).mean(1).view_as(mean)  # entries that no step has moved get the mean
        return torch.maximum((self.products + few * mean) / (self.squares + few), 0.3 * mean)

    def _times_inverse(self, g: Tensor) -> Tensor:
        """Return the approximation of J_f^{-1} g."""
        weights = []
        for s, z, inverse in reversed(self.pairs):
            weights.append(inverse * dot(s, g))
            g = g - weights[-1] * z
        g = g / self._diagonal()
        for (s, z, inverse), weight in zip(self.pairs, reversed(weights), strict=True):
            g = g + (weight - inverse * dot(z, g)) * s
        return g


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


_Solver = Callable[[_Objective, Tensor, float, int], tuple[Tensor, Tensor, int]]
# of a batch x; each returns y, its gradient (an evaluation of f is expensive) and the number of iterations
_SOLVERS: dict[str, Callable[[Tensor], _Solver]] = {
    "quasi_newton": _QuasiNewton,
    "cvx_cg": lambda x: _nonlinear_cg,
    "cvx_gd": lambda x: partial(_adam, least_squares=False),
    "ls": lambda x: partial(_adam, least_squares=True),
}
METHODS = tuple(_SOLVERS)


@torch.no_grad()
def invert(
    model: LPN,
    x: Tensor,
    method: str = "quasi_newton",
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    start: Tensor | None = None,
) -> Inversion:
    """Solve f(y) = x for a batch x (N, *input_shape), by `min_y psi(y) - <x, y>` (LPN paper, section 3.3).

    Args:
        model: the LPN, in the dtype and on the device of x; float64 is advised, since psi is large.
        x: the points; all samples are solved at once and each stops at its own convergence.
        method: "quasi_newton" (L-BFGS from a diagonal, the fastest), "cvx_cg" (nonlinear conjugate gradients on the convex
            objective), "cvx_gd" (Adam on the same), "ls" (Adam on ||f(y) - x||^2).
        tolerance: on the relative residual of `Inversion`.
        max_iterations: of the method's outer loop, in float32 and, for x in float64, again in float64.
        start: where to start from, x by default.

    Raises ValueError for an unknown method.
    """
    if method not in _SOLVERS:
        raise ValueError(f"unknown inversion method '{method}'; the known ones are: {', '.join(METHODS)}")
    objective, solve = _Objective(model, x), _SOLVERS[method](x)
    y, iterations = x if start is None else start.to(x), 0
    if x.dtype == torch.float64:  # most of the way in float32, where a step costs a fraction and f is right to 1e-6
        single = y.float()
        solution, _, iterations = solve(objective.in_float32(), single, max(tolerance - 1e-6, 1e-6), max_iterations)
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
