import torch

from lpn.networks.lpn_28 import Lpn28


def test_initial_weights() -> None:
    """Constrained weights are drawn from exp(N(-10, 0.1)); no layer of the main chain has a bias."""
    torch.manual_seed(0)
    model = Lpn28(hidden=8).build()
    weights = torch.cat([weight.detach().flatten() for weight in model.constrained_weights()]).log()
    assert abs(weights.mean() + 10) < 0.01
    assert abs(weights.std() - 0.1) < 0.01
    assert not [name for name, _ in model.named_parameters() if name.startswith("lin") and name.endswith("bias")]
    assert model.input_shape == (1, 28, 28)
    assert model.alpha == 0.01
