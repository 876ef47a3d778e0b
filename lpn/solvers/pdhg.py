"""Plug-and-play primal-dual hybrid gradient."""

from collections.abc import Iterator

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from lpn.denoisers import Prox, evaluate
from lpn.solvers._base import Iterate, Problem, Solver, no_iterations, squared, total

SQUARED_NORM = 8  # the squared norm of `differences` is below this


class PDHG(Solver):
    """Plug-and-play primal-dual hybrid gradient: Meinhardt et al. 2017, algorithm 1 (Chambolle and Pock 2011).

    Minimises  s ||A x - y||^2 + tv ||grad x||_1 + w R(x)  with the weight w = 1/t. With K stacking A and, if tv > 0, the
    gradient, F the sum of the first two terms as a function of K x, and the denoiser as the primal prox:

        q  = prox_{sigma F*}(q + sigma K xbar)
        x' = prox(x - t K^T q)
        xbar = x' + theta (x' - x)

    It begins with q = 0 and needs  t sigma ||K||^2 < 1.  As residuals it yields the norms of  (x - x')/t  and
    (q - q')/sigma + K (xbar - x'),  by which x' and q' fail to solve the optimality conditions  -K^T q in w dR(x)  and
    K x in dF*(q)  (after Goldstein et al. 2015, section 2).
    """

    step: PositiveFloat | None = Field(
        default=None, description="step t, below 1 / (dual_step ||K||^2); by default .99 times that"
    )
    dual_step: PositiveFloat = Field(default=1.0, description="dual step sigma")
    tv: NonNegativeFloat = Field(default=0.0, description="weight of the anisotropic total variation")
    relaxation: float = Field(default=1.0, ge=0, le=1, description="theta, how far the images are extrapolated")

    def check(self, norm: float | None, scale: float) -> None:
        """Raise ValueError unless  t sigma ||K||^2 < 1,  as far as the norm is known."""
        if norm and self.step and not self.step < (limit := 1 / self._squared_norm(norm)):
            raise ValueError(f"step must be below 1 / (dual_step ||K||^2) = {limit:.4g}, not {self.step:g}")

    def iterates(self, problem: Problem, prox: Prox, x: Tensor) -> Iterator[Iterate]:
        operator, y, alpha = problem.operator, problem.y, 2 * problem.scale
        self.check(operator.norm, problem.scale)
        t, sigma, tv, theta = self._step(operator.norm), self.dual_step, self.tv, self.relaxation

        def forward(x: Tensor) -> tuple[Tensor, ...]:
            return (operator(x), differences(x)) if tv else (operator(x),)

        def backward(q: tuple[Tensor, ...]) -> Tensor:
            return operator.adjoint(q[0]) + differences_adjoint(q[1]) if tv else operator.adjoint(q[0])

        def dual_prox(v: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            data = (v[0] - sigma * y) / (1 + sigma / alpha)
            return (data, v[1].clamp(-tv, tv)) if tv else (data,)

        image = extrapolated = forward(x)  # K x, K xbar
        q = tuple(torch.zeros_like(part) for part in image)
        none = no_iterations(x)
        while True:
            x_before, q_before, image_before = x, q, image
            q = dual_prox(tuple(a + sigma * b for a, b in zip(q, extrapolated, strict=True)))
            v = x - t * backward(q)
            x, regulariser = evaluate(prox, v)
            image = forward(x)
            primal = squared(x_before - x).sqrt() / t
            parts = zip(q_before, q, extrapolated, image, strict=True)
            dual = total(squared((a - b) / sigma + c - d) for a, b, c, d in parts).sqrt()
            yield Iterate(x, x, v, primal, dual, none, regulariser)
            extrapolated = tuple(a + theta * (a - b) for a, b in zip(image, image_before, strict=True))

    def regulariser_weight(self, problem: Problem) -> float:
        """Return 1/t."""
        return 1 / self._step(problem.operator.norm)

    def data_term(self, problem: Problem, x: Tensor) -> Tensor:
        """Return  s ||A x - y||^2 + tv ||grad x||_1,  (N,)."""
        return problem.data_term(x) + self.tv * total_variation(x) if self.tv else problem.data_term(x)

    def _squared_norm(self, norm: float) -> float:
        """Return sigma ||K||^2 for ||A|| = `norm`."""
        return self.dual_step * (norm**2 + (SQUARED_NORM if self.tv else 0))

    def _step(self, norm: float) -> float:
        return self.step or 0.99 / self._squared_norm(norm)


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
