import math

import pytest
import torch

from lpn.losses.proximal_matching import ProximalMatching, proximal_matching


def test_value_by_hand() -> None:
    residual = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64)
    assert math.isclose(proximal_matching(residual, 5.0).item(), (1 - math.exp(-1)) / 2)


def test_zero_residual_has_gradient_zero() -> None:
    residual = torch.zeros(3, 2, requires_grad=True)
    proximal_matching(residual, 0.1).backward()
    assert residual.grad is not None
    assert torch.equal(residual.grad, torch.zeros(3, 2))


def test_small_gammas_count_hits() -> None:
    residual = torch.tensor([[0.0], [1.0], [2.0], [0.0]])
    assert proximal_matching(residual, 1e-3) == 0.5


def test_stages_have_the_gammas_of_the_dimension() -> None:
    residual = torch.rand(3, 1, 4, 4)
    stages = ProximalMatching(gamma=[2, 1]).stages(16)
    assert [logged for _, logged in stages] == [{"gamma": 8.0}, {"gamma": 4.0}]
    assert [loss(residual) for loss, _ in stages] == [proximal_matching(residual, gamma) for gamma in (8.0, 4.0)]
    assert ProximalMatching(gamma=[2, 1])(residual) == proximal_matching(residual, 4.0)


@pytest.mark.parametrize("gamma", [[], [0.0], [-1.0]])
def test_gammas_must_be_positive(gamma: list[float]) -> None:
    with pytest.raises(ValueError, match="gamma"):
        ProximalMatching(gamma=gamma)
