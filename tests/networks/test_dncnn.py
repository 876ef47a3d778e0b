import pytest
import torch

from lpn.networks.dncnn import DnCNNSettings


def test_it_takes_images_of_any_size() -> None:
    model = DnCNNSettings(channels=2, depth=3, hidden=4).build()
    assert len(model.convolutions) == 3
    for size in ((8, 8), (5, 9)):
        assert model(torch.rand(2, 2, *size)).shape == (2, 2, *size)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    x = torch.rand(1, 2, 6, 6)
    assert torch.equal(model(x), x)  # the network is the residual


def test_it_has_two_convolutions_at_least() -> None:
    with pytest.raises(ValueError, match="depth"):
        DnCNNSettings(depth=1)
