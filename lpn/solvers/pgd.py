"""Plug-and-play proximal gradient descent."""

from collections.abc import Iterator

from pydantic import Field, PositiveFloat
from torch import Tensor

from lpn.denoisers import Prox, evaluate
from lpn.solvers._base import Iterate, Problem, Solver, box, no_iterations, squared


class PGD(Solver):
    """Plug-and-play proximal gradient descent,  x = prox(x - t grad s ||A x - y||^2);  the objective has the weight w = 1/t.

    The LPN paper (section 4) asks for t < 1 / (2 s ||A||^2); then the objective never increases. With `box` it is
    three-operator splitting (Davis and Yin 2017, algorithm 1) with the projection onto [0, 1]:

        x = box(u),    z = prox(2 x - u - t grad s ||A x - y||^2),    u = u + z - x
    """

    step: PositiveFloat | None = Field(
        default=None, description="step t, below 1 / (2 scale ||A||^2); by default .99 times that"
    )
    box: bool = Field(default=False, description="whether the images are also held in [0, 1], by three-operator splitting")

    def check(self, norm: float | None, scale: float) -> None:
        """Raise ValueError unless  t < 1 / (2 s ||A||^2),  as far as the norm is known."""
        if norm and self.step and not self.step < (limit := 1 / (2 * scale * norm**2)):
            raise ValueError(f"step must be below 1 / (2 scale ||A||^2) = {limit:.4g}, not {self.step:g}")

    def iterates(self, problem: Problem, prox: Prox, x: Tensor) -> Iterator[Iterate]:
        self.check(problem.operator.norm, problem.scale)
        step, none = self._step(problem), no_iterations(x)
        project: Prox = box if self.box else lambda u: u
        u, x = x, project(x)
        while True:
            before = x
            v = 2 * x - u - step * problem.gradient(x)
            z, regulariser = evaluate(prox, v)
            u = z + (u - x)  # exactly z without the box
            x = project(u)
            yield Iterate(x, z, v, squared(x - z).sqrt(), squared(x - before).sqrt() / step, none, regulariser)

    def regulariser_weight(self, problem: Problem) -> float:
        """Return 1/t."""
        return 1 / self._step(problem)

    def _step(self, problem: Problem) -> float:
        return self.step or 0.99 / (2 * problem.scale * problem.operator.norm**2)
