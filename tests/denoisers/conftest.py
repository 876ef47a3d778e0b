"""What the tests of denoisers share."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
import torch
from conftest import build_lpn
from torch import Tensor

from lpn.denoisers import Denoiser
from lpn.networks import LPN
from lpn.settings import Choice, Settings


class Method(Settings):
    """Settings that choose a denoiser."""

    prox: Annotated[Denoiser, Choice("prox")]


def chosen(**values: Any) -> Denoiser:
    """Return the denoiser of these settings."""
    return Method.model_validate({"prox": values}).prox


def draw(*shape: int, seed: int = 1) -> Tensor:
    """Return uniform random numbers in float64."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_lpn(**changes: Any) -> LPN:
    """Return a float64 LPN of 16x16 images with random weights that are far from 0."""
    torch.manual_seed(0)
    settings = {"name": "lpn_patch", "channels": 2, "hidden": 3, "size": 16, "beta": 10, "alpha": 0.05}
    network = build_lpn(settings | changes).double().requires_grad_(False)
    for weight in network.constrained_weights():
        weight.uniform_(0, 2 / weight[0].numel())
    return network.eval()


@pytest.fixture
def model() -> LPN:
    """An LPN of 16x16 images of two channels."""
    return random_lpn()


def assert_is_minimiser(objective: Callable[[Tensor], Tensor], x: Tensor, gain: float) -> None:
    """No random perturbation of any size lowers the objective of an image by more than `gain`."""
    lowest = objective(x)
    for seed, size in enumerate((1e-3, 1e-2, 0.1, 1.0)):
        for direction in (draw(*x.shape, seed=seed) - 0.5, torch.ones_like(x), -x):
            assert (objective(x + size * direction) >= lowest - gain).all()
