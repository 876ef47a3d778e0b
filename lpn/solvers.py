"""Plug-and-play algorithms for y = A x + noise: a denoiser takes the place of a proximal operator.

With f = prox_R (an LPN), all minimise  F(x) = s ||A x - y||^2 + w R(x)  with the scale s (no factor 1/2) and a weight w that
follows from the algorithm's penalty or step. Every solver yields one `Iterate` per iteration, so progress bars, curves
and stopping are the caller's choice. LPN paper: Fang, Buchanan, Sulam, ICLR 2024, section 4. Meinhardt et al., ICCV 2017
("Learning Proximal Operators") write the data term as alpha_data/2 ||A x - y||^2: alpha_data = 2 s.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lpn.cg import conjugate_gradients
from lpn.errors import UserError
from lpn.networks import LPN
from lpn.operators import LinearOperator
from lpn.patches import PatchLPN

Prox = Callable[[Tensor], Tensor]


@dataclass
class Iterate:
    """The state after one iteration.

    Attributes:
        x: the reconstruction, (N, C, H, W).
        z: the last output of the denoiser, (N, C, H, W).
        v: what the denoiser was applied to: z = f(v).
        primal: ||x - z|| per image, (N,), over all splits; of PDHG the residual of the primal condition.
        dual: change of the split variables times the penalty, (N,); of PDHG the residual of the dual condition.
        cg_iterations: of the x-step, (N,); 0 where there is none.
    """

    x: Tensor
    z: Tensor
    v: Tensor
    primal: Tensor
    dual: Tensor
    cg_iterations: Tensor


@dataclass(frozen=True)
class Problem:
    """y = A x + noise with the data term s ||A x - y||^2.

    Attributes:
        operator: A.
        y: the measurements, (N, *output_shape).
        scale: s.
        tolerance: relative residual at which the x-step's conjugate gradients stop.
        cg_iterations: most iterations of the x-step.
        preconditioned: whether the x-step uses the operator's inverse or preconditioner, if it has one.
    """

    operator: LinearOperator
    y: Tensor
    scale: float
    tolerance: float = 1e-5
    cg_iterations: int = 30
    preconditioned: bool = True

    def __post_init__(self) -> None:
        """Raise UserError unless s > 0."""
        if not self.scale > 0:
            raise UserError(f"config key 'scale' is {self.scale}; it must be positive.")

    def data_term(self, x: Tensor) -> Tensor:
        """Return s ||A x - y||^2, (N,)."""
        return self.scale * _squared(self.operator(x) - self.y)

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient of the data term, 2 s A^T (A x - y)."""
        return 2 * self.scale * self.operator.adjoint(self.operator(x) - self.y)

    def proximal(self, rho: float) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return (v, start) -> argmin_x s ||A x - y||^2 + rho/2 ||x - v||^2 and the iterations that it took, (N,).

        Solves (2 s A^T A + rho I) x = 2 s A^T y + rho v by the operator's inverse, in 0 iterations, where there is one, else
        by preconditioned conjugate gradients. Raises UserError unless rho > 0.
        """
        if not rho > 0:
            raise UserError(f"config key 'rho' is {rho}; it must be positive.")
        weight = 2 * self.scale
        back_projected = weight * self.operator.adjoint(self.y)
        inverse = self.operator.inverse(weight, rho) if self.preconditioned else None
        if inverse:
            none_taken = torch.zeros(len(self.y), dtype=torch.long, device=self.y.device)
            return lambda v, start: (inverse(torch.add(back_projected, v, alpha=rho)), none_taken)
        preconditioner = self.operator.preconditioner(weight, rho) if self.preconditioned else None

        def solve(v: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
            result = conjugate_gradients(
                lambda x: weight * self.operator.normal(x) + rho * x,
                back_projected + rho * v,
                start,
                preconditioner,
                self.tolerance,
                self.cg_iterations,
            )
            return result.x, result.iterations

        return solve


def _squared(x: Tensor) -> Tensor:
    """Return the squared norm of each sample, (N,)."""
    return x.flatten(1).square().sum(1)


def box(x: Tensor) -> Tensor:
    """Project onto [0, 1]: the proximal operator of its indicator."""
    return x.clamp(0, 1)


def admm(
    problem: Problem, prox: Prox, x: Tensor, *, rho: float, order: str = "132", splits: tuple[Prox, ...] = ()
) -> Iterator[Iterate]:
    """Plug-and-play ADMM with scaled duals; F has the weight w = rho.

        1:  x   = argmin_x s ||A x - y||^2 + rho/2 sum_i ||x - z_i + u_i||^2
        2:  z_i = prox_i(x + u_i)
        3:  u_i = u_i + x - z_i

    Args:
        problem: A, y and s.
        prox: the denoiser, prox_1.
        x: where to start, (N, C, H, W); z_i = x and u_i = 0.
        rho: penalty.
        order: order of the steps 1, 2, 3; published is "132", in which u is updated with the previous z.
        splits: further proximal operators, such as `box`.

    Raises UserError where `order` is no permutation of "123".
    """
    if sorted(order) != ["1", "2", "3"]:
        raise UserError(f"config key 'order' is {order!r}; it must be a permutation of 123 (1: x, 2: z, 3: u).")
    proxes = (prox, *splits)
    z, u = [x] * len(proxes), [torch.zeros_like(x)] * len(proxes)
    v = z
    solve = problem.proximal(rho * len(proxes))
    while True:
        before = z
        for step in order:
            if step == "1":
                x, cg_iterations = solve(sum(a - b for a, b in zip(z, u, strict=True)) / len(proxes), x)
            elif step == "2":
                v = [x + b for b in u]
                z = [p(a) for p, a in zip(proxes, v, strict=True)]
            else:
                u = [b + x - a for a, b in zip(z, u, strict=True)]
        primal = sum(_squared(x - a) for a in z).sqrt()
        dual = rho * sum(_squared(a - b) for a, b in zip(z, before, strict=True)).sqrt()
        yield Iterate(x, z[0], v[0], primal, dual, cg_iterations)


def pgd(
    problem: Problem, prox: Prox, x: Tensor, *, step: float | None = None, splits: tuple[Prox, ...] = ()
) -> Iterator[Iterate]:
    """Plug-and-play proximal gradient descent,  x = prox(x - t grad s ||A x - y||^2);  F has the weight w = 1/t.

    The LPN paper (section 4) asks for t < 1 / (2 s ||A||^2); then F never increases. Default: 0.99 times that. A further
    proximal operator, such as `box`, makes it three-operator splitting (Davis and Yin 2017, algorithm 1):

        x = further(u),    z = prox(2 x - u - t grad s ||A x - y||^2),    u = u + z - x

    Raises UserError where `step` is larger, ValueError for more than one split.
    """
    (further,) = splits or (lambda u: u,)
    limit = 1 / (2 * problem.scale * problem.operator.norm**2)
    step = 0.99 * limit if step is None else step
    if not 0 < step < limit:
        raise UserError(f"config key 'step' is {step:g}; it must be positive and below 1 / (2 scale ||A||^2) = {limit:.4g}.")
    none = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    u, x = x, further(x)
    while True:
        before = x
        v = 2 * x - u - step * problem.gradient(x)
        z = prox(v)
        u = z + (u - x)  # exactly z without a further operator
        x = further(u)
        yield Iterate(x, z, v, _squared(x - z).sqrt(), _squared(x - before).sqrt() / step, none)


def gradient_step(problem: Problem, denoiser: Prox, x: Tensor, *, rho: float) -> Iterator[Iterate]:
    """Gradient-step plug-and-play:  z = denoiser(x) = x - grad g(x),  x = argmin s ||A x - y||^2 + rho/2 ||x - z||^2.

    Proximal gradient descent on s ||A x - y||^2 + rho g(x), the roles of the terms exchanged (Hurault et al. 2022, eq. 8).
    """
    solve = problem.proximal(rho)
    while True:
        v, z = x, denoiser(x)
        x, cg_iterations = solve(z, x)
        yield Iterate(x, z, v, _squared(x - z).sqrt(), rho * _squared(x - v).sqrt(), cg_iterations)


def differences(x: Tensor) -> Tensor:
    """Return the forward differences of x (N, C, H, W) down and to the right, (N, 2, C, H, W); 0 past the border.

    The squared norm of this map is below 8.
    """
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
    """Return the anisotropic total variation ||grad x||_1 per image, (N,)."""
    return differences(x).abs().flatten(1).sum(1)


def pdhg_step(operator: LinearOperator, dual_step: float = 1.0, tv: float = 0.0) -> float:
    """Return the default step of `pdhg`, .99 / (sigma ||K||^2), with K = A, or A above the gradient where tv > 0."""
    return 0.99 / (dual_step * (operator.norm**2 + (8 if tv else 0)))


def pdhg(
    problem: Problem,
    prox: Prox,
    x: Tensor,
    *,
    step: float | None = None,
    dual_step: float = 1.0,
    tv: float = 0.0,
    relaxation: float = 1.0,
) -> Iterator[Iterate]:
    """Plug-and-play primal-dual hybrid gradient: Meinhardt et al. 2017, algorithm 1 (Chambolle and Pock 2011).

    Minimises  s ||A x - y||^2 + tv ||grad x||_1 + w R(x)  with the weight w = 1/t. With K stacking A and, where tv > 0, the
    gradient, F the sum of the first two terms as a function of K x, and the denoiser as the primal prox:

        q  = prox_{sigma F*}(q + sigma K xbar)
        x' = prox(x - t K^T q)
        xbar = x' + theta (x' - x)

    As residuals it yields the norms of  (x - x')/t  and  (q - q')/sigma + K (xbar - x'), by which x' and q' fail to solve
    the optimality conditions  -K^T q in w dR(x)  and  K x in dF*(q)  (after Goldstein et al. 2015, section 2).

    Args:
        problem: A, y and s.
        prox: the denoiser.
        x: where to start, (N, C, H, W); q = 0.
        step: t; default as `pdhg_step`.
        dual_step: sigma.
        tv: weight of the anisotropic total variation.
        relaxation: theta in [0, 1].

    Raises UserError unless  t sigma ||K||^2 < 1, tv >= 0 and theta is in [0, 1].
    """
    if not (tv >= 0 and 0 <= relaxation <= 1):
        raise UserError(
            f"config keys 'tv' and 'relaxation' are {tv} and {relaxation}; they must be at least 0, the latter at most 1."
        )
    limit = pdhg_step(problem.operator, dual_step, tv) / 0.99
    t = 0.99 * limit if step is None else step
    if not 0 < t < limit:
        raise UserError(f"config key 'step' is {t:g}; it must be positive and below 1 / (dual_step ||K||^2) = {limit:.4g}.")
    operator, y, alpha = problem.operator, problem.y, 2 * problem.scale

    def forward(x: Tensor) -> tuple[Tensor, ...]:
        return (operator(x), differences(x)) if tv else (operator(x),)

    def backward(q: tuple[Tensor, ...]) -> Tensor:
        return operator.adjoint(q[0]) + differences_adjoint(q[1]) if tv else operator.adjoint(q[0])

    def dual_prox(v: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        data = (v[0] - dual_step * y) / (1 + dual_step / alpha)
        return (data, v[1].clamp(-tv, tv)) if tv else (data,)

    image = extrapolated = forward(x)  # K x, K xbar
    q = tuple(torch.zeros_like(part) for part in image)
    none = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    while True:
        x_before, q_before, image_before = x, q, image
        q = dual_prox(tuple(a + dual_step * b for a, b in zip(q, extrapolated, strict=True)))
        v = x - t * backward(q)
        x = prox(v)
        image = forward(x)
        primal = _squared(x_before - x).sqrt() / t
        parts = zip(q_before, q, extrapolated, image, strict=True)
        dual = sum(_squared((a - b) / dual_step + c - d) for a, b, c, d in parts).sqrt()
        yield Iterate(x, x, v, primal, dual, none)
        extrapolated = tuple(a + relaxation * (a - b) for a, b in zip(image, image_before, strict=True))


SOLVERS: dict[str, Callable[..., Iterator[Iterate]]] = {
    "admm": admm,
    "pgd": pgd,
    "gradient_step": gradient_step,
    "pdhg": pdhg,
}


def until(iterates: Iterator[Iterate], tolerance: float) -> Iterator[Iterate]:
    """Yield iterates up to the first at which both residuals of every image are at most `tolerance` times their largest."""
    largest: list[Tensor] = []
    for iterate in iterates:
        yield iterate
        residuals = [iterate.primal, iterate.dual]
        largest = list(map(torch.maximum, largest, residuals)) if largest else residuals
        if all((r <= tolerance * most).all() for r, most in zip(residuals, largest, strict=True)):
            return


class ExactProx:
    """An LPN as the denoiser of a solver, which knows the exact value of its regulariser at every output.

    Since z = f(v), f^{-1}(z) = v needs no inversion:  R(z) = <z, v> - 1/2 ||z||^2 - psi(v)  (LPN paper, eq. 3.5), and psi(v)
    is a by-product of f(v). In float32 psi has a relative rounding error of about 1e-7.

    With a strength g below 1 the denoiser is  g f(v) + (1 - g) v, the gradient of the convex  g psi + (1 - g)/2 ||.||^2, so
    again exactly a prox: that of a weaker R, about g times the network's where f removes little. It stands for the weight
    that a step or penalty bounded by theory does not allow (relaxed denoisers: Hurault et al., "Convergent plug-and-play
    with proximal denoiser and unconstrained regularization parameter", 2023). Raises UserError unless 0 < g <= 1.
    """

    def __init__(self, model: LPN | PatchLPN, strength: float = 1.0) -> None:
        if not 0 < strength <= 1:
            raise UserError(f"config key 'prox.strength' is {strength}; it must be above 0 and at most 1.")
        self.model, self.strength = model, strength

    def __call__(self, v: Tensor) -> Tensor:
        """Return z, the prox of v, and keep R(z), (N,), as `regulariser`."""
        z, potential = self.model.prox_and_potential(v)
        if self.strength != 1:
            z = torch.lerp(v, z, self.strength)
            potential = torch.lerp(_squared(v.double()) / 2, potential.double(), self.strength)
        a, b = z.double(), v.double()
        self.regulariser = (a * b).flatten(1).sum(1) - _squared(a) / 2 - potential
        return z
