"""What the tests of the solvers share: small problems in float64 with known solutions."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from conftest import build_lpn
from torch import Tensor

from lpn.networks import LPN
from lpn.operators import LinearOperator
from lpn.operators.blur import Blur, BlurSettings
from lpn.operators.compressed_sensing import CompressedSensing
from lpn.operators.identity import Identity
from lpn.solvers import Iterate, Problem

SHAPE = (1, 16, 16)
ORDERS: tuple[Any, ...] = tuple("".join(order) for order in itertools.permutations("123"))
OPERATORS: dict[str, Callable[[], LinearOperator]] = {
    "identity": lambda: Identity(SHAPE),
    "blur": lambda: BlurSettings(sigma=1.0).build(SHAPE, 0),
    "kernel": lambda: Blur(torch.tensor([[0.2, 0.5], [0.1, 0.3], [0.4, 0.1]]), SHAPE),
    "sensing": lambda: CompressedSensing.random(SHAPE, 100, seed=0),
}
ZERO = torch.zeros(2, *SHAPE, dtype=torch.float64)


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(name: str = "kernel", scale: float = 0.5, preconditioned: bool = True) -> Problem:
    operator = OPERATORS[name]()
    y = operator(draw(2, *SHAPE)) + 0.1 * draw(2, *operator.output_shape, seed=2)
    return Problem(operator, y, scale, tolerance=1e-13, cg_iterations=500, preconditioned=preconditioned)


def quadratic(weight: float, centre: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the proximal operator of  weight/2 ||x - centre||^2."""
    return lambda v: (v + weight * centre) / (1 + weight)


def ridge(given: Problem, terms: list[tuple[float, Tensor]]) -> Tensor:
    """Return argmin s ||A x - y||^2 + sum_i w_i/2 ||x - m_i||^2 for the pairs (w_i, m_i), by a dense solve."""
    size = math.prod(SHAPE)
    identity = torch.eye(size, dtype=torch.float64)
    matrix = given.operator(identity.view(size, *SHAPE)).flatten(1).T
    hessian = 2 * given.scale * matrix.T @ matrix + sum(w for w, _ in terms) * identity
    right = 2 * given.scale * given.y.flatten(1) @ matrix + sum((w * m).flatten(1) for w, m in terms)
    return torch.linalg.solve(hessian, right.T).T.view(-1, *SHAPE)


def after(iterates: Iterator[Iterate], count: int) -> Iterate:
    """Return the iterate number `count`."""
    with torch.no_grad():
        return next(itertools.islice(iterates, count - 1, None))


def small_lpn(alpha: float = 0.1) -> LPN:
    """Return a float64 LPN of 16x16 images with random weights that are far from 0."""
    torch.manual_seed(0)
    settings = {"name": "lpn_patch", "channels": 1, "hidden": 4, "size": 16, "beta": 10, "alpha": alpha}
    model = build_lpn(settings).double().requires_grad_(False)
    for weight in model.constrained_weights():
        weight.uniform_(0, 2 / weight[0].numel())
    return model.eval()
