import itertools

import torch

from lpn.networks import build_network
from lpn.solvers.gradient_step import GradientStep

from .conftest import SHAPE, ZERO, after, draw, problem, ridge


def test_finds_the_minimiser() -> None:
    """g(x) = c/2 ||x - m||^2 gives the denoiser x - c (x - m) and the minimiser of s ||A x - y||^2 + rho g."""
    given, centre, c, rho = problem(), draw(2, *SHAPE, seed=5), 0.6, 0.3
    last = after(GradientStep(rho=rho).iterates(given, lambda x: x - c * (x - centre), ZERO), 200)
    torch.testing.assert_close(last.x, ridge(given, [(c * rho, centre)]), rtol=0, atol=1e-8)
    assert last.dual.max() < 1e-8
    assert GradientStep(rho=rho).regulariser_weight(given) is None


def test_decreases_its_objective() -> None:
    torch.manual_seed(0)
    given, rho = problem(), 0.5
    network = build_network({"name": "gradient_step", "channels": 1, "hidden": 4, "blocks": 1}).double().eval()
    x = draw(2, *SHAPE, seed=6)
    values = [given.data_term(x) + rho * network.potential(x)]
    for iterate in itertools.islice(GradientStep(rho=rho).iterates(given, network, x), 30):
        values.append(given.data_term(iterate.x) + rho * network.potential(iterate.x))
    objective = torch.stack(values)
    assert (objective.diff(dim=0) <= 1e-12).all()
    assert (objective[-1] < 0.9 * objective[0]).all()
