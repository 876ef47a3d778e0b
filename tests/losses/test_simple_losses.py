import torch

from lpn.losses.l1 import L1
from lpn.losses.l2 import L2
from lpn.losses.sum_of_squares import SumOfSquares

RESIDUAL = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64)


def test_l1() -> None:
    assert L1()(RESIDUAL) == 7 / 4


def test_l2() -> None:
    assert L2()(RESIDUAL) == 25 / 4


def test_sum_of_squares() -> None:
    residual = torch.arange(12.0).view(2, 1, 2, 3)
    assert SumOfSquares()(residual).item() == (residual**2).sum().item() / 4


def test_they_have_one_stage() -> None:
    for loss in (L1(), L2(), SumOfSquares()):
        ((function, logged),) = loss.stages(784)
        assert logged == {}
        assert function(RESIDUAL) == loss(RESIDUAL)
