"""Gradient descent against closed forms, on regularisers whose minimisers are known."""

import itertools

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from lpn.networks import Regulariser, build_network, network_settings
from lpn.networks.uar import UAR
from lpn.solvers.gradient_descent import GradientDescent

from .conftest import SHAPE, ZERO, after, draw, problem, ridge


class Quadratic(Regulariser):
    """R(x) = 1/2 ||x - centre||^2."""

    def __init__(self, centre: Tensor) -> None:
        super().__init__({}, SHAPE)
        self.centre = centre

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.centre).flatten(1).square().sum(1) / 2


@pytest.mark.parametrize(("momentum", "count"), [(False, 120), (True, 150)])
def test_finds_the_minimiser(momentum: bool, count: int) -> None:
    given, centre, weight = problem(), draw(2, *SHAPE, seed=5), 0.3
    solver = GradientDescent(weight=weight, momentum=momentum)
    last = after(solver.iterates(given, Quadratic(centre), ZERO), count)
    torch.testing.assert_close(last.x, ridge(given, [(weight, centre)]), rtol=0, atol=1e-6)
    assert last.primal.max() < 1e-5
    assert solver.regulariser_weight(given) == weight


def test_what_is_recorded_is_that_of_the_iterate() -> None:
    """R and the residual, the norm of the objective's gradient, belong to x."""
    given, regulariser = problem(), Quadratic(draw(2, *SHAPE, seed=5))
    for iterate in itertools.islice(GradientDescent(weight=0.3, momentum=True).iterates(given, regulariser, ZERO), 4):
        assert iterate.x is iterate.z
        assert iterate.regulariser is not None
        torch.testing.assert_close(iterate.regulariser, regulariser(iterate.x))
        gradient = given.gradient(iterate.x) + 0.3 * (iterate.x - regulariser.centre)
        torch.testing.assert_close(iterate.primal, gradient.flatten(1).norm(dim=1))


def test_momentum_is_faster_on_a_convex_regulariser() -> None:
    """Blurred images with little regularisation: the plain step is slow, and its objective never increases."""
    given = problem("blur")
    torch.manual_seed(0)
    network = build_network({"name": "acr", "filters": 2, "layers": 2, "banks": 1, "bank_filters": 2}).double()
    assert isinstance(network, Regulariser)
    traces = []
    for momentum in (False, True):
        solver = GradientDescent(weight=0.01, momentum=momentum)
        found = itertools.islice(solver.iterates(given, network, ZERO), 60)
        traces.append(torch.stack([given.data_term(i.x) + 0.01 * network(i.x).detach() for i in found]))
    assert (traces[0].diff(dim=0) <= 1e-9).all()
    assert (traces[1][-1] < 0.9 * traces[0][-1]).all()


def test_the_first_step_is_that_of_the_formula() -> None:
    """With a root, the gradient is that of sqrt(s ||A x - y||^2), by finite differences of the data term."""
    given, centre = problem(), draw(2, *SHAPE, seed=5)
    x, v = draw(2, *SHAPE, seed=6), draw(2, *SHAPE, seed=7)
    for solver in (GradientDescent(weight=0.2, step=0.1, root=True), GradientDescent(weight=0.2, step=0.1)):
        moved = after(solver.iterates(given, Quadratic(centre), x), 1).x
        slope = ((x - moved) / 0.1 - 0.2 * (x - centre)).mul(v).flatten(1).sum(1)
        difference = (solver.data_term(given, x + 1e-6 * v) - solver.data_term(given, x - 1e-6 * v)) / 2e-6
        torch.testing.assert_close(slope, difference, rtol=1e-6, atol=1e-8)


def test_the_default_step_is_that_of_the_norm() -> None:
    given, x = problem(), draw(2, *SHAPE)
    step = 1 / (2 * given.scale * given.operator.norm**2)
    results = [after(GradientDescent(weight=0, step=t).iterates(given, Quadratic(ZERO), x), 1).x for t in (None, step)]
    assert torch.equal(*results)


def test_long_steps_are_refused() -> None:
    given = problem()
    limit = 1 / (given.scale * given.operator.norm**2)
    with pytest.raises(ValueError, match=r"step must be below 1 / \(scale \|\|A\|\|\^2\)"):
        next(GradientDescent(weight=1, step=1.01 * limit).iterates(given, Quadratic(ZERO), ZERO))
    GradientDescent(weight=1, step=1.01 * limit, root=True).check(given.operator.norm, given.scale)
    with pytest.raises(ValidationError, match="step is needed with root"):
        GradientDescent(weight=1, root=True)
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        GradientDescent(weight=-1)


def uar() -> UAR:
    """A small UAR in float64."""
    torch.manual_seed(0)
    network = build_network({"name": "uar", "size": 16, "hidden": 1, "linear": 2, "steps": 3, "filters": 2}).double()
    assert isinstance(network, UAR)
    return network


def test_it_refines_what_is_unrolled() -> None:
    network, given, x = uar(), problem(), draw(2, *SHAPE) * 3 - 1
    solver = GradientDescent(weight=0, step=1e-9, start="unrolled")
    *_, expected = network.unrolled(given.operator, given.y, x)
    torch.testing.assert_close(after(solver.iterates(given, network, x), 1).x, expected, rtol=0, atol=1e-6)
    solver.check_network(network_settings(network.config), 5)
    with pytest.raises(ValueError, match="the network acr has no unrolled steps"):
        solver.check_network(network_settings({"name": "acr"}), 5)
    GradientDescent(weight=0).check_network(network_settings({"name": "acr"}), 5)
