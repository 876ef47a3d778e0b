"""Gradient-step plug-and-play."""

from collections.abc import Iterator

from pydantic import Field, PositiveFloat
from torch import Tensor

from lpn.denoisers import Prox, evaluate
from lpn.solvers._base import Iterate, Problem, Solver, squared


class GradientStep(Solver):
    """Gradient-step plug-and-play:  z = denoiser(x) = x - grad g(x),  x = argmin s ||A x - y||^2 + rho/2 ||x - z||^2.

    Proximal gradient descent on s ||A x - y||^2 + rho g(x), the roles of the terms exchanged (Hurault et al. 2022, eq. 8).
    """

    rho: PositiveFloat = Field(description="penalty, the weight of the denoiser's potential")

    def iterates(self, problem: Problem, prox: Prox, x: Tensor) -> Iterator[Iterate]:
        solve = problem.proximal(self.rho)
        while True:
            v = x
            z, regulariser = evaluate(prox, v)
            x, cg_iterations = solve(z, x)
            yield Iterate(x, z, v, squared(x - z).sqrt(), self.rho * squared(x - v).sqrt(), cg_iterations, regulariser)
