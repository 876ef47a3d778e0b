"""What all solvers share: algorithms for y = A x + noise with a denoiser or a learned regulariser.

With f = prox_R (an LPN), the plug-and-play algorithms minimise  F(x) = s ||A x - y||^2 + w R(x)  with the scale s (no factor
1/2) and a weight w that follows from the algorithm's penalty or step. Every solver yields one `Iterate` per iteration, so
progress bars, curves and stopping are the caller's choice. LPN paper: Fang, Buchanan, Sulam, ICLR 2024, section 4. Meinhardt
et al., ICCV 2017 ("Learning Proximal Operators") write the data term as alpha_data/2 ||A x - y||^2: alpha_data = 2 s.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lpn.cg import conjugate_gradients
from lpn.denoisers.learned import squared
from lpn.networks import NetworkSettings
from lpn.operators import LinearOperator
from lpn.settings import Component, blame


@dataclass
class Iterate:
    """The state after one iteration."""

    x: Tensor  # the reconstruction, (N, C, H, W)
    z: Tensor  # the last output of the denoiser, (N, C, H, W); x if there is no denoiser, as the next is
    denoiser_input: Tensor  # what the denoiser was applied to, (N, C, H, W)
    primal: Tensor  # ||x - z|| per image, (N,), over all splits; others have their own residuals: PDHG, gradient descent
    dual: Tensor  # change of the split variables times the penalty, (N,); others as above
    cg_iterations: Tensor  # of the x-step, int64 (N,); 0 if there is none
    regulariser: Tensor | None = None  # R(z) per image, float64 (N,); None if it is not known


@dataclass(frozen=True)
class Problem:
    """y = A x + noise with the data term s ||A x - y||^2. Raises ValueError unless s > 0."""

    operator: LinearOperator  # A
    y: Tensor  # the measurements, (N, *output_shape)
    scale: float  # s
    tolerance: float = 1e-5  # relative residual at which the x-step's conjugate gradients stop
    cg_iterations: int = 30  # most iterations of the x-step
    preconditioned: bool = True  # whether the x-step uses the operator's inverse or preconditioner, if it has one

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"scale must be positive, not {self.scale}")

    def data_term(self, x: Tensor) -> Tensor:
        """Return s ||A x - y||^2 of images (N, C, H, W), (N,)."""
        return self.scale * squared(self.operator(x) - self.y)

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient of the data term, 2 s A^T (A x - y), (N, C, H, W)."""
        return 2 * self.scale * self.operator.adjoint(self.operator(x) - self.y)

    def proximal(self, rho: float) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return (v, start) -> argmin_x s ||A x - y||^2 + rho/2 ||x - v||^2 and the iterations that it took, int64 (N,).

        Solves (2 s A^T A + rho I) x = 2 s A^T y + rho v by the operator's inverse, in 0 iterations, if there is one, else
        by preconditioned conjugate gradients. Raises ValueError unless rho > 0.
        """
        if not rho > 0:
            raise ValueError(f"rho must be positive, not {rho}")
        weight = 2 * self.scale
        back_projected = weight * self.operator.adjoint(self.y)
        inverse = self.operator.inverse(weight, rho) if self.preconditioned else None
        if inverse:
            none = no_iterations(self.y)
            return lambda v, start: (inverse(torch.add(back_projected, v, alpha=rho)), none)
        preconditioner = self.operator.preconditioner(weight, rho) if self.preconditioned else None

        def matvec(x: Tensor) -> Tensor:
            return weight * self.operator.normal(x) + rho * x

        def solve(v: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
            b, limits = back_projected + rho * v, (self.tolerance, self.cg_iterations)
            result = conjugate_gradients(matvec, b, start, preconditioner, *limits)
            return result.x, result.iterations

        return solve


def no_iterations(x: Tensor) -> Tensor:
    """Return the conjugate gradients' iterations of a batch x (N, ...) that needed none: zeros, int64 (N,)."""
    return torch.zeros(len(x), dtype=torch.int64, device=x.device)


def total(parts: Iterable[Tensor]) -> Tensor:
    """Return the sum of tensors of one shape; there must be one."""
    first, *others = parts
    return sum(others, first + 0)


def box(x: Tensor) -> Tensor:
    """Project onto [0, 1]: the proximal operator of its indicator."""
    return x.clamp(0, 1)


class Solver(Component):
    """A plug-and-play algorithm, or one that descends on a learned regulariser, with its settings.

    Attributes:
        takes: whether it works with a denoiser, the key 'prox' of a method, or with the key 'regulariser'.
    """

    kind: ClassVar[str] = "solver"
    takes: ClassVar[Literal["prox", "regulariser"]] = "prox"

    def check(self, norm: float | None, scale: float) -> None:
        """Raise ValueError if a step is above its bound for ||A|| = `norm`, if that is known, and s = `scale`."""

    def check_network(self, network: NetworkSettings, iterations: int) -> None:
        """Raise ValueError if the solver can't work with this network of a regulariser, or as many iterations."""

    def iterates(self, problem: Problem, prior: Any, x: Tensor, /) -> Iterator[Iterate]:
        """Yield the iterates, without end, from the start x (N, C, H, W).

        The prior is what the solver takes: a denoiser, `lpn.denoisers.Prox`, which `lpn.denoisers.evaluate` applies, or a
        `lpn.networks.Regulariser`. Raises ValueError as `check` does.
        """
        raise NotImplementedError

    def regulariser_weight(self, problem: Problem) -> float | None:
        """Return the weight w of R in the objective  s ||A x - y||^2 + w R(x);  None if there is no such objective."""
        return None

    def data_term(self, problem: Problem, x: Tensor) -> Tensor:
        """Return the objective without w R, (N,), of images (N, C, H, W)."""
        return problem.data_term(x)


def solve(solver: Solver, problem: Problem, prior: Any, x: Tensor) -> Iterator[Iterate]:
    """Yield the iterates of a solver from x (N, C, H, W), checked: it may be a plug-in.

    Raises ValueError if the solver fails, or yields something else than it must; it names the plug-in's file.
    """
    fault = None
    try:
        for iterate in solver.iterates(problem, prior, x):
            if fault := _fault(iterate, x):
                break
            yield iterate
    except Exception as error:
        if place := blame(solver, error):
            raise ValueError(f"{place}{type(error).__name__}: {error}") from error
        raise
    if fault:
        raise ValueError(f"the solver {solver.name} {fault}")


def _fault(iterate: object, start: Tensor) -> str | None:
    """Return what is wrong with an iterate."""
    if not isinstance(iterate, Iterate):
        return f"yields {type(iterate).__name__}; a solver yields `lpn.solvers.Iterate`."
    for name, value in vars(iterate).items():
        if name == "regulariser" and value is None:
            continue
        found = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        if name in ("x", "z", "denoiser_input"):
            needed = f"{start.dtype} {tuple(start.shape)}"
            if found != needed:
                return f"yields '{name}' as {found}, but it must be a tensor, {needed}, as the start is."
        elif not isinstance(value, Tensor) or value.shape != start.shape[:1]:
            return f"yields '{name}' as {found}, but it must be a tensor of one value per image, ({len(start)},)."
    return None


def until(iterates: Iterator[Iterate], tolerance: float) -> Iterator[Iterate]:
    """Yield iterates up to the first at which both residuals of every image are at most `tolerance` times their largest."""
    largest: list[Tensor] = []
    for iterate in iterates:
        yield iterate
        residuals = [iterate.primal, iterate.dual]
        largest = list(map(torch.maximum, largest, residuals)) if largest else residuals
        if all((r <= tolerance * most).all() for r, most in zip(residuals, largest, strict=True)):
            return
