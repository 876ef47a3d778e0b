import pytest
import torch

from lpn.networks import LPN
from lpn.networks._scalar import ScalarLPN
from lpn.networks.lpn_scalar import LpnScalar


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_the_hand_written_step_is_that_of_autograd(alpha: float) -> None:
    torch.manual_seed(0)
    model = LpnScalar(hidden=5, layers=3, alpha=alpha).build().double()
    assert isinstance(model, ScalarLPN)
    model.project()
    x = torch.linspace(-3, 3, 20, dtype=torch.float64)[:, None]
    torch.testing.assert_close(model(x), LPN.forward(model, x), rtol=1e-12, atol=1e-12)
    ours, theirs = (
        torch.autograd.grad((f(x) - x).square().mean(), model.parameters(), allow_unused=True)
        for f in (model, lambda x: LPN.forward(model, x))
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(
            torch.zeros(()) if a is None else a, torch.zeros(()) if b is None else b, check_dtype=False
        )


def test_default_initialisation() -> None:
    """As published, weights have PyTorch's default, which the first projection makes convex."""
    torch.manual_seed(0)
    model = LpnScalar().build()
    negative = [(weight < 0).float().mean() for weight in model.constrained_weights()]
    assert 0.4 < torch.stack(negative).mean() < 0.6
