import pytest
import torch

from lpn.networks import network_settings
from lpn.solvers.unrolled import Unrolled

from .conftest import SHAPE, draw, problem
from .test_gradient_descent import uar


def test_yields_the_steps_of_the_network() -> None:
    network, given, x = uar(), problem(), draw(2, *SHAPE) * 3 - 1
    with torch.no_grad():
        found, expected = list(Unrolled().iterates(given, network, x)), list(network.unrolled(given.operator, given.y, x))
        assert len(found) == len(expected) == 3
        for iterate, image in zip(found, expected, strict=True):
            assert torch.equal(iterate.x, image)
            assert iterate.regulariser is not None
            assert torch.equal(iterate.regulariser, network(image))
    change = (found[2].x - found[1].x).flatten(1).norm(dim=1)
    torch.testing.assert_close(found[2].primal, change)
    assert Unrolled().regulariser_weight(given) is None


def test_the_network_and_the_iterations_must_fit() -> None:
    with pytest.raises(ValueError, match="iterations is 2, but the network has 3 unrolled steps: set it to 3"):
        Unrolled().check_network(network_settings(uar().config), 2)
    with pytest.raises(ValueError, match="the network ar has no unrolled steps: train a network uar"):
        Unrolled().check_network(network_settings({"name": "ar"}), 20)


def test_measurements_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"measurements \(1, H, W\), not \(1, 100\)"):
        next(Unrolled().iterates(problem("sensing"), uar(), draw(2, *SHAPE)))
