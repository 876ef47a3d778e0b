import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import golden_files

from lpn.errors import UserError
from lpn.operators.tomography import Tomography, TomographySettings
from operators.conftest import build, relative


@pytest.mark.parametrize("path", golden_files("op_tomo"), ids=lambda path: path.stem)
def test_published_tomography(path: Path) -> None:
    arrays = np.load(path)
    operator = build("tomography", (1, 512, 512), angles=200, detectors=400)
    y = operator(torch.from_numpy(arrays["x"].astype(np.float32))[None, None])
    assert relative(y[0, 0], arrays["Ax"]) < 1e-5
    assert relative(operator.adjoint(y)[0, 0, ::2, ::2], arrays["adj_Ax_sub2"]) < 1e-5
    assert relative(operator.initial(y)[0, 0, ::2, ::2], arrays["fbp_Ax_sub2"]) < 1e-5


def test_filtered_back_projection_inverts() -> None:
    operator = Tomography((2, 64, 64), angles=100, detectors=120)
    position = torch.linspace(-1, 1, 64)
    bump = torch.exp(-4 * (position[:, None] ** 2 + (position - 0.2) ** 2)).expand(1, 2, 64, 64)
    assert (operator.fbp(operator(bump)) - bump).abs().max() < 0.05


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="square images, not 8 x 9"):
        Tomography((1, 8, 9), 5, 9)
    with pytest.raises(ValueError, match="square images, not 8 x 9"):
        TomographySettings().check((1, 8, 9))


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "astra", None)
    with pytest.raises(UserError, match="pip install odl astra-toolbox"):
        Tomography((1, 8, 8), 5, 9)
