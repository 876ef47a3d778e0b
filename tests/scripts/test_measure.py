import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lpn.operators.blur import BlurSettings
from lpn.operators.compressed_sensing import CompressedSensing

from .conftest import BLUR, MEASUREMENT

Run = Callable[..., None]
Refused = Callable[..., str]


def test_measurements_are_those_of_the_operator(run: Run, data: Path, tmp_path: Path) -> None:
    images = torch.from_numpy(np.load(data / "test.npy")).float() / 255
    for noise, first, name in [(0.0, 0, "clean"), (0.3, 0, "noisy"), (0.3, 1, "part")]:
        spec = MEASUREMENT | {"noise": noise, "first": first, "images": 2}
        run("measure", "--spec", spec, "--data", data, "--output", tmp_path / f"{name}.npz")
    clean, noisy, part = (np.load(tmp_path / f"{name}.npz") for name in ("clean", "noisy", "part"))
    operator = BlurSettings(sigma=1.0).build((3, 16, 16), 0)
    np.testing.assert_array_equal(noisy["truth"], images[:2])
    np.testing.assert_array_equal(clean["y"], operator(images[:2]))
    np.testing.assert_allclose(noisy["start"], operator.adjoint(torch.from_numpy(noisy["y"])), atol=1e-6)
    np.testing.assert_array_equal(noisy["observed"], noisy["y"][..., 2:-2, 2:-2])
    noise = noisy["y"] - clean["y"]
    assert noise.std() == pytest.approx(0.3, rel=0.05)
    assert abs((noise[0] * noise[1]).mean()) < 0.01
    np.testing.assert_array_equal(part["y"][0], noisy["y"][1])  # however images are split over jobs


def test_random_operator_is_saved_with_its_measurements(run: Run, data: Path, tmp_path: Path) -> None:
    spec = MEASUREMENT | {"operator": {"name": "compressed_sensing", "measurements": 40}, "noise": 0.0}
    run("measure", "--spec", spec, "--data", data, "--output", tmp_path / "m.npz")
    arrays = np.load(tmp_path / "m.npz", allow_pickle=False)
    operator = CompressedSensing((3, 16, 16), arrays["filter"], arrays["sign"], arrays["rows"])
    np.testing.assert_allclose(operator(torch.from_numpy(arrays["truth"])), arrays["y"], atol=1e-6)


def test_one_job_has_images_of_one_size(run: Run, refused: Refused, data: Path, tmp_path: Path) -> None:
    with (data / "test.npy").open("wb") as file:
        np.save(file, np.zeros((2, 3, 24, 16), np.uint8))
        np.save(file, np.full((1, 3, 24, 20), 9, np.uint8))
    arguments = ["--data", data, "--output", tmp_path / "m.npz"]
    run("measure", "--spec", MEASUREMENT | {"first": 2, "images": 1}, *arguments)
    with np.load(tmp_path / "m.npz") as file:
        assert file["truth"].shape == (1, 3, 24, 20)
    assert "different sizes" in refused("measure", "--spec", MEASUREMENT | {"first": 1, "images": 2}, *arguments)


def test_images_are_cropped(run: Run, data: Path, tmp_path: Path) -> None:
    run("measure", "--spec", MEASUREMENT | {"crop": 8}, "--data", data, "--output", tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as file:
        expected = np.load(data / "test.npy")[:3, :, 4:12, 4:12].astype(np.float32) / 255
        np.testing.assert_array_equal(file["truth"], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 6}, "has only 5"),
        ({"images": 0}, "'images' is 0"),
        ({"split": "train"}, r"train\.npy can't be read"),
        ({"split": "trial"}, "'split' is 'trial'"),
        ({"operator": {"name": "sharpen"}}, "unknown operator 'sharpen'"),
        ({"operator": {"name": "compressed_sensing", "measurements": 257}}, "the operator: .*measurements.*257"),
        ({"operator": {"name": "bayer"}, "crop": 15}, "the operator: .*even sides"),
        ({"seed": None}, "lacks 'seed'"),
        ({"noise": float("nan")}, "'noise' is nan"),
        ({"noise": -1}, "'noise' is -1"),
        ({"crop": 40}, "'crop': squares of side 40 don't fit into images of 16x16"),
        ({"operator": BLUR | {"sigma": 1e9}}, "the operator: .*larger than the images"),
        ({"operator": {"name": "circular_blur", "kernel": "box", "side": 1001}}, "the operator: .*larger than the images"),
    ],
)
def test_bad_settings_are_refused(
    refused: Refused, data: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    spec = {key: value for key, value in (MEASUREMENT | change).items() if value is not None}
    output = tmp_path / "m.npz"
    assert re.search(message, refused("measure", "--spec", spec, "--data", data, "--output", output))
    assert not output.exists()


def test_images_that_are_not_finite_are_refused(refused: Refused, data: Path, tmp_path: Path) -> None:
    images = np.full((5, 1, 16, 16), 0.5, np.float32)
    images[1, 0, 3, 3] = np.nan
    np.save(data / "test.npy", images)
    arguments = ["--spec", MEASUREMENT, "--data", data, "--output", tmp_path / "m.npz"]
    assert "test.npy holds NaN" in refused("measure", *arguments)
    (data / "test.npy").write_bytes((data / "test.npy").read_bytes()[:900])
    assert "test.npy can't be read" in refused("measure", *arguments)
