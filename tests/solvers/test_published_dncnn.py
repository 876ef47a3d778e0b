"""PnP with the published DnCNN for noise 25/255: what its authors state, and one fixed point for two algorithms.

Its weights are a golden file, and the images those of BSDS500; without LPN_GOLDEN and LPN_DATA the tests are skipped.
"""

import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import golden_files
from torch import Tensor

from lpn.checkpoints import load_model, write_checkpoint
from lpn.data import Sources
from lpn.data.bsd68 import BSD68
from lpn.denoisers import Prox
from lpn.denoisers.learned import Learned
from lpn.metrics import psnr
from lpn.operators.circular_blur import CircularBlurSettings
from lpn.seeds import torch_generator
from lpn.solvers import Problem, solve
from lpn.solvers.admm import ADMM
from lpn.solvers.pgd import PGD

WEIGHTS = golden_files("dncnn_published_sigma25")
IMAGES = Path(os.environ.get("LPN_DATA", "none"))
pytestmark = [
    pytest.mark.skipif(not WEIGHTS, reason="LPN_GOLDEN names no folder with dncnn_published_sigma25.npz"),
    pytest.mark.skipif(not (IMAGES / "bsds500").is_dir(), reason="LPN_DATA names no folder with bsds500"),
]
DEPTH, SIGMA = 17, 25 / 255


def images() -> list[Tensor]:
    """Return the images of BSD68, (1, 1, H, W) each, float32 in [0, 1]."""
    read = BSD68(name="bsd68").read(Sources(IMAGES))[1]["test"]
    assert isinstance(read, list)
    return [torch.from_numpy(image().copy())[None].float() / 255 for image in read]


def published_prox(folder: Path, shape: tuple[int, ...]) -> Prox:
    """Return the denoiser, its weights through a file as the key `source` of a model reads it."""
    arrays = np.load(WEIGHTS[0])
    names = {"w": "weight", "b": "bias"}
    state = {f"convolutions.{i}.{names[k]}": torch.from_numpy(arrays[f"{k}{i}"]) for i in range(DEPTH) for k in names}
    write_checkpoint(folder / "dncnn_25.pt", state)
    network = load_model(folder / "dncnn_25.pt", {"name": "dncnn", "channels": 1, "depth": DEPTH})
    return Learned(name="learned", model="dncnn_25").prox(network, shape, torch.device("cpu"))


@torch.no_grad()
def test_denoising_of_bsd68(tmp_path: Path) -> None:
    """All 68 images gave 29.230 dB. These 11 gave 29.234 there, and take a sixth of the time."""
    prox, scores = published_prox(tmp_path, (1, 321, 481)), []
    for number, x in [*enumerate(images())][2::6]:
        noise = torch.randn(x.shape, generator=torch_generator(0, "bsd68", number))
        scores.append(psnr(prox(x + SIGMA * noise).numpy(), x.numpy())[0])
    assert np.mean(scores) == pytest.approx(29.23, abs=0.05)  # by its authors


@torch.no_grad()
def test_admm_and_pgd_have_one_fixed_point(tmp_path: Path) -> None:
    """With rho = 1 / t. The network is far from a proximal operator, but both converge here."""
    x = images()[1][..., 100:148, 200:248]
    prox = published_prox(tmp_path, tuple(x.shape[1:]))
    operator = CircularBlurSettings(name="circular_blur", kernel="gaussian", sigma=1.6, side=9).build((1, 48, 48), 0)
    y = operator(x) + 0.02 * torch.randn(x.shape, generator=torch_generator(0, "noise"))
    found = []
    for solver in (PGD(name="pgd", step=0.8), ADMM(name="admm", rho=1 / 0.8)):
        *_, last = islice(solve(solver, Problem(operator, y, 0.5), prox, y), 80)
        assert last.dual.item() < 1e-4
        found.append(last.z)
    torch.testing.assert_close(*found, rtol=0, atol=1e-4)
    assert (found[0] - y).abs().max() > 0.01
