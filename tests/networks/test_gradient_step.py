import pytest
import torch

from lpn.networks.gradient_step import GradientStepSettings


def test_it_is_a_step_along_the_gradient_of_its_potential() -> None:
    torch.manual_seed(0)
    model = GradientStepSettings(channels=1, hidden=4, blocks=1).build().double().eval()
    x = torch.rand(2, 1, 8, 10, dtype=torch.float64)
    denoised = model(x)
    direction = torch.rand_like(x)
    step = 1e-6
    slope = (model.potential(x + step * direction) - model.potential(x - step * direction)) / (2 * step)
    torch.testing.assert_close(((x - denoised) * direction).flatten(1).sum(1), slope, rtol=1e-6, atol=1e-9)


def test_odd_sides_are_refused() -> None:
    model = GradientStepSettings(channels=1, hidden=2).build()
    with pytest.raises(ValueError, match="even sides, not 7 x 8"):
        model(torch.rand(1, 1, 7, 8))
