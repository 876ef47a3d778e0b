import pytest
import torch
from conftest import build_lpn
from pydantic import ValidationError

from lpn.denoisers import ExactProx
from lpn.operators._kernels import centred_kernel
from lpn.operators.circular_blur import CircularBlur
from lpn.operators.identity import Identity
from lpn.solvers import Problem
from lpn.solvers.admm import ADMM
from lpn.solvers.pdhg import PDHG, SQUARED_NORM, differences, differences_adjoint, total_variation
from lpn.solvers.pgd import PGD

from .conftest import after, normal

SHAPE = (1, 9, 10)
ZERO = torch.zeros(2, *SHAPE, dtype=torch.float64)


def blurred(scale: float = 1.0) -> Problem:
    return Problem(CircularBlur(centred_kernel(5, 0.8), SHAPE), normal(2, *SHAPE), scale, tolerance=1e-12)


def test_quadratic_problem_in_closed_form() -> None:
    """With R = 1/2 ||x||^2 and prox x / 2, PDHG with step t minimises s ||A x - y||^2 + 1/(2t) ||x||^2."""
    problem = blurred(scale=3.0)
    result = after(PDHG().iterates(problem, lambda v: v / 2, ZERO), 300)
    weight = PDHG().regulariser_weight(problem)
    assert weight == 1 / (0.99 / problem.operator.norm**2)
    expected, _ = problem.proximal(weight)(ZERO, ZERO)
    torch.testing.assert_close(result.x, expected, rtol=0, atol=1e-10)
    assert result.primal.max() < 1e-8
    assert result.dual.max() < 1e-8


@pytest.mark.parametrize("dual_step", [0.5, 1.0, 4.0])
def test_dual_step_does_not_change_the_solution(dual_step: float) -> None:
    problem = blurred()
    result = after(PDHG(step=0.2, dual_step=dual_step).iterates(problem, lambda v: v / 2, ZERO), 1500)
    torch.testing.assert_close(result.x, problem.proximal(5.0)(ZERO, ZERO)[0], rtol=0, atol=1e-8)


def test_total_variation_of_a_step_edge() -> None:
    """min s ||x - y||^2 + tv |edge| moves two constant halves towards each other by tv / (2 s) over the depth of a half."""
    height, half, scale, tv = 4, 5, 2.0, 0.3
    y = torch.cat([torch.zeros(height, half), torch.ones(height, half)], 1).double().view(1, 1, height, 2 * half)
    problem = Problem(Identity(tuple(y.shape[1:])), y, scale)
    result = after(PDHG(tv=tv).iterates(problem, lambda v: v, y), 4000)
    shift = tv / (2 * scale * half)
    torch.testing.assert_close(result.x, y + shift * (1 - 2 * y), rtol=0, atol=1e-6)


def test_total_variation_is_in_the_data_term() -> None:
    problem, x = blurred(scale=3.0), normal(2, *SHAPE, seed=3)
    torch.testing.assert_close(PDHG().data_term(problem, x), problem.data_term(x), rtol=0, atol=0)
    expected = problem.data_term(x) + 0.5 * total_variation(x)
    torch.testing.assert_close(PDHG(tv=0.5).data_term(problem, x), expected, rtol=0, atol=0)


def test_three_algorithms_meet_with_matched_weights() -> None:
    """PDHG with step t, PGD with step t and ADMM with rho = 1/t have the same fixed points for any prox."""
    torch.manual_seed(0)
    lpn = build_lpn({"name": "lpn_patch", "channels": 1, "hidden": 2, "size": 16, "alpha": 0.2}).double()
    prox, shape, t = ExactProx(lpn), (1, 16, 16), 0.45
    problem = Problem(CircularBlur(centred_kernel(3), shape), normal(2, *shape), 1.0, tolerance=1e-12)
    solvers = [PDHG(step=t), PGD(step=t), ADMM(rho=1 / t)]
    results = [after(solver.iterates(problem, prox, problem.y), 400).z for solver in solvers]
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=1e-7)


def test_steps_come_from_the_norm() -> None:
    problem = Problem(Identity(SHAPE), normal(1, *SHAPE), 1.0)
    assert PDHG().regulariser_weight(problem) == pytest.approx(1 / 0.99)
    assert PDHG(dual_step=2.0, tv=0.1).regulariser_weight(problem) == pytest.approx(18 / 0.99)
    for solver in (PDHG(step=1.0), PDHG(step=0.2, tv=0.1)):
        with pytest.raises(ValueError, match=r"step must be below 1 / \(dual_step"):
            next(solver.iterates(problem, lambda v: v, problem.y))
        with pytest.raises(ValueError, match="step must be below"):
            solver.check(1.0, 1.0)
        solver.check(None, 1.0)


@pytest.mark.parametrize("settings", [{"step": 0.0}, {"tv": -1}, {"relaxation": 5}, {"relaxation": -0.1}, {"dual_step": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        PDHG.model_validate(settings)


def test_differences_and_their_adjoint() -> None:
    x, q = normal(2, 3, 6, 5), normal(2, 2, 3, 6, 5, seed=1)
    torch.testing.assert_close((differences(x) * q).sum(), (x * differences_adjoint(q)).sum())
    matrix = torch.autograd.functional.jacobian(lambda v: differences(v.view(1, 1, 6, 5)).flatten(), normal(30))
    assert 7 < torch.linalg.matrix_norm(matrix, 2) ** 2 < SQUARED_NORM
    image = torch.tensor([[0.0, 1.0], [3.0, -1.0]]).view(1, 1, 2, 2)
    assert total_variation(image).item() == 3 + 2 + 1 + 4
