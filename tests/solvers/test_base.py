import itertools

import pytest
import torch

from lpn.solvers import Problem, until
from lpn.solvers.admm import ADMM
from lpn.solvers.pdhg import PDHG

from .conftest import OPERATORS, SHAPE, ZERO, draw, problem, ridge


@pytest.mark.parametrize("name", OPERATORS)
def test_data_term_and_its_gradient(name: str) -> None:
    given = problem(name, scale=0.7)
    x = draw(2, *SHAPE, seed=3).requires_grad_(True)
    value = given.data_term(x)
    residual = (given.operator(x) - given.y).flatten(1)
    torch.testing.assert_close(value, 0.7 * torch.linalg.vector_norm(residual, dim=1) ** 2)
    torch.testing.assert_close(given.gradient(x), torch.autograd.grad(value.sum(), x)[0])


@pytest.mark.parametrize("preconditioned", [False, True])
@pytest.mark.parametrize("name", OPERATORS)
def test_x_step_is_the_proximal_operator_of_the_data_term(name: str, preconditioned: bool) -> None:
    given = problem(name, preconditioned=preconditioned)
    v = draw(2, *SHAPE, seed=4)
    x, iterations = given.proximal(0.3)(v, torch.zeros_like(v))
    torch.testing.assert_close(x, ridge(given, [(0.3, v)]), rtol=0, atol=1e-10)
    if preconditioned and name in ("identity", "blur"):  # solved directly
        assert iterations.max() == 0


def test_bad_weights_are_refused() -> None:
    given = problem()
    with pytest.raises(ValueError, match="scale must be positive, not -1"):
        Problem(given.operator, given.y, -1)
    with pytest.raises(ValueError, match="rho must be positive, not 0"):
        given.proximal(0)


def test_stops_on_residuals() -> None:
    iterates = list(until(PDHG().iterates(problem("blur", 1.0), lambda v: v / 2, ZERO), 1e-3))
    residuals = torch.stack([torch.stack([i.primal, i.dual]) for i in iterates])  # (iterations, 2, N)
    relative = residuals / residuals.cummax(0).values
    assert 2 < len(iterates) < 100
    assert (relative[-1] <= 1e-3).all()
    assert (relative[:-1] > 1e-3).flatten(1).any(1).all()


def test_preconditioning_changes_the_cost_not_the_iterates() -> None:
    plain, preconditioned = (
        list(itertools.islice(ADMM(rho=0.05).iterates(problem(preconditioned=chosen), lambda v: v.clamp(0, 1), ZERO), 10))
        for chosen in (False, True)
    )
    for a, b in zip(plain, preconditioned, strict=True):
        torch.testing.assert_close(a.x, b.x, rtol=0, atol=1e-9)
        torch.testing.assert_close(a.z, b.z, rtol=0, atol=1e-9)
    assert sum(i.cg_iterations.sum() for i in preconditioned) < sum(i.cg_iterations.sum() for i in plain)
