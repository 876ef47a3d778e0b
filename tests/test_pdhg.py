import itertools

import pytest
import torch
from torch import Tensor

from lpn.errors import UserError
from lpn.networks import build_network
from lpn.operators import CircularBlur, Identity, centred_kernel
from lpn.solvers import (
    ExactProx,
    Problem,
    admm,
    differences,
    differences_adjoint,
    pdhg,
    pdhg_step,
    pgd,
    total_variation,
    until,
)

SHAPE = (1, 9, 10)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blurred(scale: float = 1.0) -> Problem:
    return Problem(CircularBlur(centred_kernel("gaussian", 5, 0.8), SHAPE), random(2, *SHAPE), scale, tolerance=1e-12)


def last(iterates, count: int):
    return next(itertools.islice(iterates, count - 1, None))


def test_differences_and_their_adjoint() -> None:
    x, q = random(2, 3, 6, 5), random(2, 2, 3, 6, 5, seed=1)
    torch.testing.assert_close((differences(x) * q).sum(), (x * differences_adjoint(q)).sum())
    matrix = torch.autograd.functional.jacobian(lambda v: differences(v.view(1, 1, 6, 5)).flatten(), random(30))
    assert 7 < torch.linalg.matrix_norm(matrix, 2) ** 2 < 8
    image = torch.tensor([[0.0, 1.0], [3.0, -1.0]]).view(1, 1, 2, 2)
    assert total_variation(image).item() == 3 + 2 + 1 + 4


def test_quadratic_problem_in_closed_form() -> None:
    """With R = 1/2 ||x||^2 and prox x / 2, PDHG with step t minimises s ||A x - y||^2 + 1/(2t) ||x||^2."""
    problem, zero = blurred(scale=3.0), torch.zeros(2, *SHAPE, dtype=torch.float64)
    result = last(pdhg(problem, lambda v: v / 2, zero), 300)
    expected, _ = problem.proximal(1 / pdhg_step(problem.operator))(zero, zero)
    torch.testing.assert_close(result.x, expected, rtol=0, atol=1e-10)
    assert result.primal.max() < 1e-8
    assert result.dual.max() < 1e-8


@pytest.mark.parametrize("dual_step", [0.5, 1.0, 4.0])
def test_dual_step_changes_the_weight_alone(dual_step: float) -> None:
    problem, zero = blurred(), torch.zeros(2, *SHAPE, dtype=torch.float64)
    result = last(pdhg(problem, lambda v: v / 2, zero, step=0.2, dual_step=dual_step), 1500)
    torch.testing.assert_close(result.x, problem.proximal(5.0)(zero, zero)[0], rtol=0, atol=1e-8)


def test_total_variation_of_a_step_edge() -> None:
    """min s ||x - y||^2 + tv |edge| moves two constant halves towards each other by tv / (2 s) over the depth of a half."""
    height, half, scale, tv = 4, 5, 2.0, 0.3
    y = torch.cat([torch.zeros(height, half), torch.ones(height, half)], 1).double().view(1, 1, height, 2 * half)
    problem = Problem(Identity(tuple(y.shape[1:])), y, scale)
    result = last(pdhg(problem, lambda v: v, y, tv=tv), 4000)
    shift = tv / (2 * scale * half)
    torch.testing.assert_close(result.x, y + shift * (1 - 2 * y), rtol=0, atol=1e-6)


def test_three_algorithms_meet_with_matched_weights() -> None:
    """PDHG with step t, PGD with step t and ADMM with rho = 1/t have the same fixed points for any prox."""
    torch.manual_seed(0)
    lpn = build_network({"name": "lpn_128", "channels": 1, "hidden": 2, "size": 16, "alpha": 0.2}).double()
    prox, shape, t = ExactProx(lpn), (1, 16, 16), 0.45
    problem = Problem(CircularBlur(centred_kernel("box", 3), shape), random(2, *shape), 1.0, tolerance=1e-12)
    start = problem.y
    runs = [pdhg(problem, prox, start, step=t), pgd(problem, prox, start, step=t), admm(problem, prox, start, rho=1 / t)]
    with torch.no_grad():
        results = [last(run, 400).z for run in runs]
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=1e-7)


def test_steps_come_from_the_norm() -> None:
    operator = Identity(SHAPE)
    assert pdhg_step(operator) == pytest.approx(0.99)
    assert pdhg_step(operator, dual_step=2.0, tv=0.1) == pytest.approx(0.99 / 18)
    problem = Problem(operator, random(1, *SHAPE), 1.0)
    for arguments in ({"step": 1.0}, {"step": 0.2, "tv": 0.1}, {"step": 0.0}):
        with pytest.raises(UserError, match="'step'"):
            next(pdhg(problem, lambda v: v, problem.y, **arguments))


def test_stops_on_residuals() -> None:
    problem, zero = blurred(), torch.zeros(2, *SHAPE, dtype=torch.float64)
    iterates = list(until(pdhg(problem, lambda v: v / 2, zero), 1e-3))
    residuals = torch.stack([torch.stack([i.primal, i.dual]) for i in iterates])  # (iterations, 2, N)
    relative = residuals / residuals.cummax(0).values
    assert 2 < len(iterates) < 100
    assert (relative[-1] <= 1e-3).all()
    assert (relative[:-1] > 1e-3).flatten(1).any(1).all()
