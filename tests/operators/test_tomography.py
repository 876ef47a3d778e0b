import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import golden_files
from scipy.ndimage import gaussian_filter
from skimage.transform import radon

from lpn.errors import UserError
from lpn.experiment import Method, Scores, reconstruct
from lpn.measurements import Measurement
from lpn.operators import LinearOperator
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


def disc(side: int) -> torch.Tensor:
    """Return a smooth image without symmetry, float32 (side, side): a disc and an ellipse with a hole."""
    row, column = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    ellipse = ((row + 0.3) / 0.5) ** 2 + ((column - 0.2) / 0.3) ** 2 < 1
    hole = (row + 0.4) ** 2 + (column - 0.1) ** 2 < 0.01
    image = 0.3 * ((row**2 + column**2) < 0.7).float() + 0.5 * ellipse.float() - 0.4 * hole.float()
    return torch.from_numpy(gaussian_filter(image.numpy(), 1.5, truncate=3))


def test_a_view_is_a_sum_of_pixels() -> None:
    """The view at 0 degrees sums rows, downwards; at 90 degrees columns, rightwards; and so on, the other way round."""
    x = disc(32)
    for arc, turned in ((360.0, x.sum(0)), (-360.0, x.sum(0).flip(0))):
        operator = Tomography((1, 32, 32), angles=4, detectors=32, extent=16.0, first=0.0, arc=arc, width=32.0)
        y = operator(x[None, None])[0, 0]
        expected = torch.stack([x.sum(1), turned, x.sum(1).flip(0), turned.flip(0)])
        torch.testing.assert_close(y, expected, rtol=1e-3, atol=1e-3)
        assert (operator.fbp(y[None, None]).mean() / x.mean()).item() == pytest.approx(1, abs=0.2)


def test_a_sinogram_of_another_first_angle_is_another() -> None:
    """12 views from 0 degrees on: with the default, half a step, the image is turned."""
    x = disc(64)[None, None]
    kept = {"angles": 12, "detectors": 91, "extent": 32.0}
    y = Tomography((1, 64, 64), **kept, first=0.0)(x)
    errors = [((Tomography((1, 64, 64), **kept, first=first)(x) - y).norm() / y.norm()).item() for first in (0.0, None)]
    assert errors[0] == 0
    assert errors[1] > 0.04


def test_defaults_are_the_geometry_of_odl() -> None:
    import odl
    from odl.applications import tomo

    for side, angles, detectors, extent in [(64, 200, 400, 128.0), (9, 49, 13, 0.7)]:
        operator = Tomography((1, side, side), angles, detectors, extent)
        space = odl.uniform_discr([-extent] * 2, [extent] * 2, (side, side))
        expected = tomo.parallel_beam_geometry(space, angles, detectors)
        ours = operator._transform(torch.device("cpu")).geometry
        assert (ours.motion_partition, ours.det_partition) == (expected.motion_partition, expected.det_partition)


SCIKIT_IMAGE = {"detectors": 101, "extent": 50.5, "first": 90.0, "width": 101.0}


@pytest.mark.parametrize(
    ("theta", "settings"),
    [
        (np.linspace(0, 180, 90, endpoint=False), {"angles": 90}),
        (np.linspace(0, 360, 120, endpoint=False), {"angles": 120, "arc": 360.0}),
        (np.linspace(0, 180, 91), {"angles": 91, "arc": 182.0}),
        (-np.linspace(0, 180, 90, endpoint=False), {"angles": 90, "arc": -180.0}),
    ],
    ids=["half", "whole", "both ends", "falling"],
)
def test_sinograms_of_scikit_image(theta: np.ndarray, settings: dict[str, Any]) -> None:
    """With the settings of docs/measurements.md they are ours."""
    x = disc(101)
    operator = build("tomography", (1, 101, 101), **SCIKIT_IMAGE, **settings)
    y = radon(x.numpy(), theta, circle=True).T
    assert relative(operator(x[None, None])[0, 0], y) < 0.01
    assert relative(operator(x.flip(0)[None, None])[0, 0], y) > 0.1


def test_sinograms_of_scikit_image_of_even_sides() -> None:
    """They turn about a pixel, the centre of an image with one more row and column."""
    x = torch.nn.functional.pad(disc(101)[1:-2, 1:-2], (1, 1, 1, 1))
    y = radon(x.numpy(), np.linspace(0, 180, 90, endpoint=False), circle=True).T
    operator = build("tomography", (1, 101, 101), angles=90, **SCIKIT_IMAGE)
    larger = torch.nn.functional.pad(x, (0, 1, 0, 1))
    assert relative(operator(larger[None, None])[0, 0, :, :100], y) < 0.01


def test_sinograms_of_scikit_image_are_reconstructed() -> None:
    x, theta = disc(101), np.linspace(0, 180, 90, endpoint=False)
    y = radon(x.numpy(), theta, circle=True).T.astype(np.float32)[None, None]
    solver, prox = {"name": "admm", "rho": 1.0}, {"name": "tv", "weight": 0.0005}
    method = Method.model_validate({"solver": solver, "prox": prox, "scale": 1.0, "iterations": 10})

    def quality(operator: LinearOperator) -> float:
        start = operator.initial(torch.from_numpy(y)).numpy()
        measurement = Measurement(y, start, start, x.numpy()[None, None])
        return [step.values["psnr"][0] for step in reconstruct(method, operator, measurement, Scores(clip=False))][-1]

    assert quality(build("tomography", (1, 101, 101), angles=90, **SCIKIT_IMAGE)) > 40
    assert quality(build("tomography", (1, 101, 101), angles=90, detectors=101)) < 20


@pytest.mark.parametrize(
    ("changes", "message"), [({"arc": 0.0}, "arc is 0, but the angles must differ"), ({"width": -1.0}, "width")]
)
def test_geometries_that_can_not_be_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TomographySettings(**changes)


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="square images, not 8 x 9"):
        Tomography((1, 8, 9), 5, 9)
    with pytest.raises(ValueError, match="square images, not 8 x 9"):
        TomographySettings().check((1, 8, 9))


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "astra", None)
    with pytest.raises(UserError, match=r"TomographySettings needs the package astra.*pip install astra-toolbox"):
        Tomography((1, 8, 8), 5, 9)


def test_tensors_on_a_gpu_without_astras_cuda(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """They are projected on the CPU, and the log says so once."""
    monkeypatch.setattr("odl.applications.tomo.ASTRA_CUDA_AVAILABLE", False)
    operator, gpu = Tomography((1, 8, 8), 5, 9), torch.device("cuda")
    assert operator._transform(gpu) is operator._transform(gpu) is operator._transform(torch.device("cpu"))
    assert capsys.readouterr().out == "ASTRA has no CUDA here: tomography of tensors on cuda is computed on the CPU\n"
