"""Gradient descent on a learned regulariser."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor

from lpn.networks import NetworkSettings, Regulariser
from lpn.solvers._base import Iterate, Problem, Solver, no_iterations, squared
from lpn.solvers.unrolled import check_generator


class GradientDescent(Solver):
    """Gradient descent on  D(x) + w R(x)  with a learned R.  D(x) is  s ||A x - y||^2,  or its square root with `root`.

        x' = v - t (grad D(v) + w grad R(v)),    v' = x' + m_k (x' - x)

    m_k is 0, or k / (k + 3) with `momentum` (Nesterov 1983), which is for convex R. The iterates are the points v, where R
    and the gradients are known. Both residuals are the norm of the gradient of the objective there.

    The data term of Mukherjee et al. (2020, 2021) is the mean of squares: s is one by the number of measurements.
    """

    takes: ClassVar[Literal["prox", "regulariser"]] = "regulariser"
    weight: NonNegativeFloat = Field(description="weight w of the regulariser")
    step: PositiveFloat | None = Field(
        default=None, description="step t, below 1 / (scale ||A||^2); by default half of that; with `root` it is needed"
    )
    momentum: bool = Field(default=False, description="whether steps are accelerated, for convex regularisers")
    root: bool = Field(default=False, description="whether the data term is the square root of s ||A x - y||^2")
    start: Literal["initial", "unrolled"] = Field(
        default="initial",
        description="first image: that of other solvers, or the output of the network's unrolled steps",
    )

    @model_validator(mode="after")
    def _root_has_a_step(self) -> "GradientDescent":
        if self.root and self.step is None:
            raise ValueError("step is needed with root: the curvature of the root has no bound that could give one")
        return self

    def check(self, norm: float | None, scale: float) -> None:
        """Raise ValueError unless  t < 1 / (s ||A||^2),  as far as the norm is known, and without `root`."""
        if norm and self.step and not self.root and not self.step < (limit := 1 / (scale * norm**2)):
            raise ValueError(f"step must be below 1 / (scale ||A||^2) = {limit:.4g}, not {self.step:g}")

    def check_network(self, network: NetworkSettings, iterations: int) -> None:
        """Raise ValueError if the start needs unrolled steps, and the network has none."""
        if self.start == "unrolled":
            check_generator(network)

    def iterates(self, problem: Problem, regulariser: Regulariser, x: Tensor) -> Iterator[Iterate]:
        self.check(problem.operator.norm, problem.scale)
        step = self.step or 1 / (2 * problem.scale * problem.operator.norm**2)
        if self.start == "unrolled":
            *_, x = regulariser.unrolled(problem.operator, problem.y, x)
        v, none = x, no_iterations(x)
        _, gradient = self._evaluate(problem, regulariser, v)
        number = 0
        while True:
            before, x = x, v - step * gradient
            number += 1
            v = x + (number - 1) / (number + 2) * (x - before) if self.momentum else x
            value, gradient = self._evaluate(problem, regulariser, v)
            residual = squared(gradient).sqrt()
            yield Iterate(v, v, v, residual, residual, none, value)

    def _evaluate(self, problem: Problem, regulariser: Regulariser, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return R(x), float64 (N,), and the gradient of the objective, (N, C, H, W)."""
        value, slope = regulariser.value_and_gradient(x)
        gradient = problem.gradient(x)
        if self.root:  # a root has no gradient where it is 0
            gradient = gradient / (2 * self.data_term(problem, x).clamp_min(1e-12).view(-1, 1, 1, 1))
        return value.double(), gradient + self.weight * slope

    def regulariser_weight(self, problem: Problem) -> float:
        """Return w."""
        return self.weight

    def data_term(self, problem: Problem, x: Tensor) -> Tensor:
        """Return D(x), (N,)."""
        term = problem.data_term(x)
        return term.sqrt() if self.root else term
