import itertools
import math

import pytest
import torch

from lpn.denoisers import ExactProx
from lpn.solvers import box
from lpn.solvers.pgd import PGD

from .conftest import OPERATORS, SHAPE, ZERO, after, draw, problem, quadratic, ridge, small_lpn


def test_one_step_denoises() -> None:
    """With A = I it starts at y, and the gradient of the data term is 0 there: the experiment `denoising` rests on that."""
    given, denoise = problem("identity"), small_lpn()
    start = given.operator.initial(given.y)
    torch.testing.assert_close(after(PGD(step=0.5).iterates(given, denoise, start), 1).x, denoise(given.y), rtol=0, atol=0)


@pytest.mark.parametrize("name", OPERATORS)
def test_finds_the_minimiser(name: str) -> None:
    given, centre = problem(name), draw(2, *SHAPE, seed=5)
    step = 0.99 / (2 * given.scale * given.operator.norm**2)
    last = after(PGD().iterates(given, quadratic(2.0, centre), ZERO), 60)
    torch.testing.assert_close(last.x, ridge(given, [(2.0 / step, centre)]), rtol=0, atol=1e-8)
    assert last.dual.max() < 1e-6
    assert (last.cg_iterations == 0).all()
    assert PGD().regulariser_weight(given) == 1 / step
    assert PGD(step=0.25).regulariser_weight(given) == 4


def test_box_stays_inside_and_is_optimal() -> None:
    given, centre = problem("blur"), draw(2, *SHAPE, seed=5) * 3 - 1
    step = 0.9 / (2 * given.scale * given.operator.norm**2)
    last = after(PGD(step=step, box=True).iterates(given, quadratic(2.0, centre), centre), 500)
    x = last.x
    assert ((x >= 0) & (x <= 1)).all()
    assert (ridge(given, [(2.0 / step, centre)]) > 1.1).any()  # the box does bind
    gradient = given.gradient(x) + 2.0 / step * (x - centre)
    torch.testing.assert_close(box(x - 0.1 * step * gradient), x, rtol=0, atol=1e-6)
    assert last.primal.max() < 1e-6
    assert last.dual.max() < 1e-6


@pytest.mark.parametrize("factor", [-1.0, 0.0, 1.0, 1.5, math.nan])
def test_bad_steps_are_refused(factor: float) -> None:
    given = problem(scale=2.0)
    limit = 1 / (2 * given.scale * given.operator.norm**2)
    with pytest.raises(ValueError, match="step"):
        next(PGD(step=factor * limit).iterates(given, box, ZERO))


def test_steps_are_checked_if_the_norm_is_known() -> None:
    with pytest.raises(ValueError, match=r"step must be below 1 / \(2 scale \|\|A\|\|\^2\) = 0.5, not 5"):
        PGD(step=5).check(1.0, 1.0)
    PGD(step=5).check(None, 1.0)
    PGD(step=5).check(1.0, 0.09)
    PGD().check(1.0, 1.0)


@pytest.mark.parametrize("strength", [1.0, 0.3])
@pytest.mark.parametrize("name", OPERATORS)
def test_objective_of_a_network_never_increases(name: str, strength: float) -> None:
    given, prox = problem(name), ExactProx(small_lpn(), strength)
    weight = PGD().regulariser_weight(given)
    with torch.no_grad():
        iterates = itertools.islice(PGD().iterates(given, prox, draw(2, *SHAPE, seed=6)), 60)
        objective = torch.stack([given.data_term(i.x) + weight * i.regulariser for i in iterates])
    assert (objective.diff(dim=0) <= 1e-12 * objective[0].abs()).all()
    assert (objective[-1] < objective[0] - 1e-4).all()
