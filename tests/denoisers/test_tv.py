import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from denoisers.conftest import assert_is_minimiser, draw
from lpn.denoisers.tv import TV


def total_variation(x: Tensor) -> Tensor:
    """Return the isotropic total variation of each image, summed over channels, with forward differences."""
    down, right = torch.zeros_like(x), torch.zeros_like(x)
    down[..., :-1, :] = x.diff(dim=-2)
    right[..., :-1] = x.diff(dim=-1)
    return (down.square() + right.square()).sqrt().flatten(1).sum(1)


def test_tv_of_a_step_is_known() -> None:
    """On a step of height h between n and m columns, each side moves by weight / n and weight / m towards the other."""
    weight, left, right = 0.3, 6, 10
    x = torch.zeros(1, 2, 5, left + right, dtype=torch.float64)
    x[..., left:] = 1
    expected = torch.full_like(x, weight / left)
    expected[..., left:] = 1 - weight / right
    denoised = TV(weight=weight, iterations=5000)(x)
    torch.testing.assert_close(denoised, expected, rtol=0, atol=0.01)


def test_tv_is_a_proximal_operator() -> None:
    """The minimum of  1/2 ||u - x||^2 + weight TV(u),  and firmly non-expansive."""
    weight, x = 0.1, draw(2, 2, 12, 13)
    tv = TV(weight=weight, iterations=2000)
    u = tv(x)
    objective = lambda u: (u - x).square().flatten(1).sum(1) / 2 + weight * total_variation(u)  # noqa: E731
    assert (objective(u) < 0.9 * objective(x)).all()
    assert_is_minimiser(objective, u, 1e-3)
    torch.testing.assert_close(u.mean((2, 3)), x.mean((2, 3)), rtol=0, atol=1e-6)
    # the optimality condition <x - u, u> = weight TV(u): x - u is a subgradient of a norm-like function
    torch.testing.assert_close(((x - u) * u).flatten(1).sum(1), weight * total_variation(u), rtol=0.01, atol=0)
    other = draw(2, 2, 12, 13, seed=2)
    change, moved = tv(other) - u, other - x
    assert (change.square().flatten(1).sum(1) <= (change * moved).flatten(1).sum(1) + 1e-3).all()


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (1, 1, 37, 51)])
def test_a_weight_of_almost_zero_changes_nothing_on_any_size(shape: tuple[int, ...]) -> None:
    x = draw(*shape).float()
    u = TV(weight=0.0001)(x)
    assert u.dtype == torch.float32
    torch.testing.assert_close(u, x, rtol=0, atol=1e-3)


def test_images_of_a_batch_are_independent() -> None:
    x, tv = draw(3, 1, 16, 16).float(), TV(weight=0.1)
    torch.testing.assert_close(torch.cat([tv(image[None]) for image in x]), tv(x), rtol=0, atol=0)


def test_weights_that_are_not_positive_are_refused() -> None:
    with pytest.raises(ValidationError, match="weight\n.*greater than 0"):
        TV(weight=0)
