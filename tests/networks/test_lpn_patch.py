import pytest
import torch
from conftest import build_lpn

from lpn.networks.lpn_patch import LpnPatch


def test_sizes() -> None:
    """The published size has the published parameters; another one changes the last convolutions alone."""
    published, small = (build_lpn({"name": "lpn_patch", "hidden": 4, **size}).state_dict() for size in ({}, {"size": 64}))
    assert small.keys() == published.keys()
    differing = [name for name in small if small[name].shape != published[name].shape]
    assert differing == ["lin.6.weight", "res.5.weight"]
    assert published["lin.6.weight"].shape == (64, 4, 16, 16)
    assert small["lin.6.weight"].shape == (64, 4, 8, 8)
    model = LpnPatch(hidden=4, size=64).build()
    assert build_lpn(model.config).input_shape == (3, 64, 64)
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 3, 64, 64)
    with pytest.raises(ValueError, match=r"size\n.*multiple of 8"):
        LpnPatch(size=100)
