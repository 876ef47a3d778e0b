import sys

import pytest
import torch

from lpn.denoisers.bm3d import BM3D
from lpn.errors import UserError


@pytest.mark.parametrize("channels", [1, 3])
def test_bm3d_denoises(channels: int) -> None:
    pytest.importorskip("bm3d", reason="the optional package bm3d is not installed")
    clean = torch.zeros(2, channels, 32, 32)
    clean[..., 8:24, 10:20] = 1
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    denoised = BM3D(sigma=0.1)(noisy)
    assert denoised.shape == clean.shape
    assert denoised.dtype == torch.float32
    assert ((denoised - clean).square().mean((1, 2, 3)) < 0.2 * (noisy - clean).square().mean((1, 2, 3))).all()


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(UserError, match=r"BM3D needs the package bm3d.*pip install --editable '.\[bm3d\]'.*non-commercial"):
        BM3D(sigma=0.1)(torch.zeros(1, 1, 8, 8))
