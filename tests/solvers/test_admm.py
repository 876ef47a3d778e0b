import itertools
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from lpn.denoisers import ExactProx
from lpn.solvers import box
from lpn.solvers.admm import ADMM

from .conftest import OPERATORS, ORDERS, SHAPE, ZERO, after, draw, problem, quadratic, ridge, small_lpn


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", OPERATORS)
def test_finds_the_minimiser(name: str, order: Any) -> None:
    given, centre, rho = problem(name), draw(2, *SHAPE, seed=5), 0.4
    solver = ADMM(rho=rho, order=order)
    last = after(solver.iterates(given, quadratic(2.0, centre), given.operator.initial(given.y)), 100)
    expected = ridge(given, [(2.0 * rho, centre)])
    torch.testing.assert_close(last.x, expected, rtol=0, atol=1e-8)
    torch.testing.assert_close(last.z, expected, rtol=0, atol=1e-8)
    assert last.primal.max() < 1e-7
    assert last.dual.max() < 1e-7
    assert solver.regulariser_weight(given) == rho


@pytest.mark.parametrize("order", ORDERS)
def test_box_stays_inside_and_is_optimal(order: Any) -> None:
    """x is feasible, and the projected gradient step from it does not move: the first-order condition."""
    given, centre, rho = problem("blur"), draw(2, *SHAPE, seed=5) * 3 - 1, 0.4
    last = after(ADMM(rho=rho, order=order, box=True).iterates(given, quadratic(2.0, centre), centre), 500)
    x = last.x
    assert ((x > -1e-6) & (x < 1 + 1e-6)).all()
    assert (ridge(given, [(2.0 * rho, centre)]) > 1.1).any()  # the box does bind
    gradient = given.gradient(x) + 2.0 * rho * (x - centre)
    torch.testing.assert_close(box(x - 0.1 * gradient), x, rtol=0, atol=1e-6)


def test_residuals_are_those_of_the_iterates() -> None:
    given, prox, rho = problem(), quadratic(1.0, draw(2, *SHAPE, seed=5)), 0.4
    before, now = itertools.islice(ADMM(rho=rho).iterates(given, prox, ZERO), 1, 3)
    torch.testing.assert_close(now.primal, (now.x - now.z).flatten(1).norm(dim=1))
    torch.testing.assert_close(now.dual, rho * (now.z - before.z).flatten(1).norm(dim=1))
    torch.testing.assert_close(now.z, prox(now.denoiser_input), rtol=0, atol=0)
    assert now.regulariser is None


@pytest.mark.parametrize("order", ["12", "1223", "124", "1 2 3", ""])
def test_bad_orders_are_refused(order: Any) -> None:
    with pytest.raises(ValidationError, match="order"):
        ADMM(rho=1.0, order=order)


def test_every_iterate_keeps_its_own_regulariser() -> None:
    given, prox = problem("blur"), ExactProx(small_lpn())
    with torch.no_grad():
        for iterate in list(itertools.islice(ADMM(rho=0.4).iterates(given, prox, draw(2, *SHAPE, seed=6)), 4)):
            z, expected = prox.evaluate(iterate.denoiser_input)
            assert iterate.regulariser is not None
            assert iterate.regulariser.dtype == torch.float64
            torch.testing.assert_close(iterate.z, z, rtol=0, atol=0)
            torch.testing.assert_close(iterate.regulariser, expected, rtol=0, atol=0)


def test_converges_with_a_network_under_the_conditions_of_the_theory() -> None:
    """With rho > 2 s ||A||^2 the augmented Lagrangian falls, and the limit is a critical point (LPN paper, section 4)."""
    given, model = problem("blur"), small_lpn()
    prox, rho = ExactProx(model), 2.1 * given.scale * given.operator.norm**2
    values = []
    with torch.no_grad():
        iterates = list(itertools.islice(ADMM(rho=rho).iterates(given, prox, draw(2, *SHAPE, seed=6)), 200))
    for iterate in iterates:
        # order 132: the argument of z is x + u
        u = iterate.denoiser_input - iterate.x
        coupling = ((iterate.x - iterate.z + u).square() - u.square()).flatten(1).sum(1)
        values.append(given.data_term(iterate.x) + rho * iterate.regulariser + rho / 2 * coupling)
    lagrangian = torch.stack(values)
    assert (lagrangian.diff(dim=0) <= 1e-12 * lagrangian[0].abs()).all()
    last = iterates[-1]
    assert last.primal.max() < 1e-8
    assert last.dual.max() < 1e-8
    x = last.x
    torch.testing.assert_close(model(x - given.gradient(x) / rho), x, rtol=0, atol=1e-8)
