import math

import torch

from lpn.losses import l1, l2, proximal_matching


def test_values_by_hand() -> None:
    residual = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64)
    assert l1(residual, 0) == 7 / 4
    assert l2(residual, 0) == 25 / 4
    assert math.isclose(proximal_matching(residual, 5.0).item(), (1 - math.exp(-1)) / 2)


def test_zero_residual_has_gradient_zero() -> None:
    residual = torch.zeros(3, 2, requires_grad=True)
    proximal_matching(residual, 0.1).backward()
    assert torch.equal(residual.grad, torch.zeros(3, 2))


def test_small_gammas_count_hits() -> None:
    residual = torch.tensor([[0.0], [1.0], [2.0], [0.0]])
    assert proximal_matching(residual, 1e-3) == 0.5
