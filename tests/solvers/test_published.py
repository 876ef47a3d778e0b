"""The published code's runs of ADMM."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import golden_files, golden_network
from torch import Tensor

from lpn.denoisers import PatchLPN
from lpn.metrics import psnr
from lpn.operators.blur import BlurSettings
from lpn.operators.compressed_sensing import CompressedSensing
from lpn.operators.tomography import Tomography
from lpn.solvers import Iterate, Problem
from lpn.solvers.admm import ADMM


def image(array: np.ndarray) -> Tensor:
    """Return a published image, (H, W) or (H, W, 3), as a batch of one."""
    return torch.from_numpy(np.atleast_3d(array).astype(np.float32).transpose(2, 0, 1).copy())[None]


def check_published(iterates: list[Iterate], x: Tensor, arrays: np.lib.npyio.NpzFile, rho: float) -> None:
    """Compare PSNR, residuals and CG iterations with the published run's, iteration by iteration."""
    count = len(iterates)
    ours = {
        "psnr": [psnr(i.x.numpy(), x.numpy())[0] for i in iterates],
        "primal": [i.primal.item() for i in iterates],
        "dual": [i.dual.item() / rho for i in iterates],  # published without the penalty
    }
    np.testing.assert_allclose(ours.pop("psnr"), arrays["psnr"][:count], atol=1e-3)
    for name, values in ours.items():
        np.testing.assert_allclose(values, arrays[name][:count], rtol=1e-3, err_msg=name)
    # rounding may decide whether the last one is needed
    np.testing.assert_allclose([i.cg_iterations.item() for i in iterates], arrays["cg_iters"][:count], atol=1)


@pytest.mark.parametrize("path", golden_files("admm_deblur"), ids=lambda path: path.stem)
@pytest.mark.parametrize("preconditioned", [False, True])
def test_published_deblurring(path: Path, preconditioned: bool) -> None:
    arrays = np.load(path)
    operator = BlurSettings(sigma=1.0).build((3, 128, 128), 0)
    x, y = image(arrays["x_uint8"]) / 255, image(arrays["y"])
    given = Problem(operator, y, 0.5, preconditioned=preconditioned)
    model = golden_network(path.with_name("model_celeba_h32.npz")).requires_grad_(False)
    with torch.no_grad():
        iterates = list(itertools.islice(ADMM(rho=0.1).iterates(given, model, operator.initial(y)), 20))
    error = iterates[-1].x - image(arrays["xhat"])
    if preconditioned:  # solves the x-step further than the published tolerance: within .02 dB of it
        np.testing.assert_allclose([psnr(i.x.numpy(), x.numpy())[0] for i in iterates], arrays["psnr"], atol=0.02)
        assert all(i.cg_iterations == 0 for i in iterates)
    else:
        check_published(iterates, x, arrays, 0.1)
        assert error.square().mean().sqrt() < 10 * arrays["sens_max_rms"][1]
        assert error.abs().max() < 10 * arrays["sens_max_rms"][0]


@pytest.mark.parametrize("path", golden_files("admm_cs"), ids=lambda path: path.stem)
def test_published_compressed_sensing(path: Path) -> None:
    arrays = np.load(path)
    operator = CompressedSensing((1, 256, 256), arrays["a"].astype(np.float64), arrays["sign"], arrays["indices"])
    y = torch.from_numpy(arrays["y"])[None, None]
    start = operator.initial(y)
    np.testing.assert_allclose(start[0, 0, ::2, ::2], arrays["ls_sub2"], atol=1e-5)
    model = PatchLPN(golden_network(path.with_name("model_ct_h32.npz")).requires_grad_(False), "by_count")
    with torch.no_grad():  # 8 of the 80 iterations
        iterates = list(itertools.islice(ADMM(rho=0.05, box=True).iterates(Problem(operator, y, 1.0), model, start), 8))
    check_published(iterates, image(arrays["x"]), arrays, 0.05)


@pytest.mark.parametrize("path", golden_files("admm_tomo"), ids=lambda path: path.stem)
def test_published_tomography(path: Path) -> None:
    """Three iterations: the published run, of a briefly trained network, diverges later."""
    arrays = np.load(path)
    operator = Tomography((1, 512, 512))
    y = torch.from_numpy(arrays["y"])[None, None]
    start = operator.initial(y)
    np.testing.assert_allclose(start[0, 0, ::2, ::2], arrays["x0_fbp_sub2"], atol=1e-4)
    model = PatchLPN(golden_network(path.with_name("model_ct_h32.npz")).requires_grad_(False), "by_count")
    given = Problem(operator, y, 8 / 200 / 400, preconditioned=False)
    with torch.no_grad():
        iterates = list(itertools.islice(ADMM(rho=0.05).iterates(given, model, start), 3))
    check_published(iterates, image(np.load(path.with_name("op_tomo.npz"))["x"]), arrays, 0.05)
    error = iterates[-1].x[0, 0, ::2, ::2] - torch.from_numpy(arrays["xhat_it3_sub2"])
    assert error.square().mean().sqrt() < 10 * arrays["sens_it3_max_rms"][1]
    assert error.abs().max() < 10 * arrays["sens_it3_max_rms"][0]
