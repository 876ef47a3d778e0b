"""Small operators of each kind, and what their tests share."""

import math
from collections.abc import Callable
from typing import Any

import deepinv
import numpy as np
import pytest
import torch
from torch import Tensor

from lpn.operators import LinearOperator, OperatorSettings, build_operator
from lpn.operators._kernels import centred_kernel, gaussian_side
from lpn.operators.bayer import BayerMosaic
from lpn.operators.blur import Blur
from lpn.operators.circular_blur import CircularBlur
from lpn.operators.compressed_sensing import CompressedSensing
from lpn.operators.deepinv import DeepinvOperator
from lpn.operators.identity import Identity
from lpn.operators.tomography import Tomography
from lpn.settings import component

RANDOM = np.random.default_rng(0)
KERNEL = torch.from_numpy(RANDOM.random((4, 3)))

SMALL: dict[str, Callable[[], LinearOperator]] = {
    "identity": lambda: Identity((2, 5, 7)),
    "gaussian": lambda: Blur(centred_kernel(gaussian_side(1), 1), (3, 9, 13)),
    "kernel": lambda: Blur(KERNEL, (2, 11, 8)),
    "whole": lambda: Blur(torch.from_numpy(RANDOM.random((6, 5))), (1, 6, 5)),
    "circular": lambda: CircularBlur(centred_kernel(7, 1.6), (2, 8, 9)),
    "motion": lambda: CircularBlur(KERNEL[:3] / KERNEL[:3].sum(), (2, 7, 6)),
    "bayer": lambda: BayerMosaic((3, 6, 8)),
    "sensing": lambda: CompressedSensing.random((2, 7, 9), 20, seed=0),
    "tomography": lambda: Tomography((2, 16, 16), angles=12, detectors=25),
    "turned": lambda: Tomography((2, 16, 16), 12, 25, extent=8.0, first=40.0, arc=-200.0, width=20.0),
    "deepinv": lambda: DeepinvOperator(deepinv.physics.Inpainting((2, 6, 5), mask=0.5), (2, 6, 5)),
}


@pytest.fixture(params=SMALL)
def operator(request: pytest.FixtureRequest) -> LinearOperator:
    """One operator after the other."""
    return SMALL[request.param]()


def settings(name: str, **values: Any) -> OperatorSettings:
    """Return the settings of an operator by its name."""
    chosen = component("operator", name).model_validate({"name": name, **values})
    assert isinstance(chosen, OperatorSettings)
    return chosen


def build(name: str, input_shape: tuple[int, ...], seed: int = 0, **values: Any) -> LinearOperator:
    """Return an operator by its name and settings."""
    return build_operator(settings(name, **values), input_shape, seed)


def draw(*shape: int, seed: int = 1) -> Tensor:
    """Return normal random numbers in float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(operator: LinearOperator) -> Tensor:
    """Return the matrix of A on one image of all its channels."""
    size = math.prod(operator.input_shape)
    return operator(torch.eye(size, dtype=torch.float64).view(size, *operator.input_shape)).flatten(1).T


def precision(operator: LinearOperator, device: torch.device | None = None) -> float:
    """Return the relative accuracy of an operator in float64, on the CPU or another device."""
    if isinstance(operator, DeepinvOperator):
        return 1e-6
    if not isinstance(operator, Tomography):
        return 1e-12
    return 1e-3 if device and device.type == "cuda" else 1e-6  # CUDA's adjoint is only close to the transpose


def relative(ours: Tensor, published: np.ndarray) -> float:
    """Return the relative distance of a result from a published one."""
    return float(np.linalg.norm(ours.numpy() - published) / np.linalg.norm(published))
