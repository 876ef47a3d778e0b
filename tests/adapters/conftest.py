"""A small network for the tests of all adapters."""

import pytest
import torch
from conftest import build_lpn

from lpn.networks import LPN


@pytest.fixture(scope="package")
def model() -> LPN:
    """A float32 LPN of 16x16 images whose R is not convex."""
    torch.manual_seed(0)
    settings = {"name": "lpn_patch", "channels": 1, "hidden": 4, "size": 16, "beta": 10, "alpha": 0.1}
    network = build_lpn(settings).requires_grad_(False)
    for weight in network.constrained_weights():
        weight.uniform_(0, 2 / weight[0].numel())
    return network.eval()
