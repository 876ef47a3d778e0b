"""The 2017 problems through the command lines: measure, reconstruct, choose."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import choose
import measure
import reconstruct
import tune

from lpn.checkpoints import save_model
from lpn.errors import UserError
from lpn.metrics import psnr
from lpn.networks import build_network
from lpn.operators import build_operator

BLUR = {"name": "circular_blur", "kernel": "box", "side": 3}
METHOD = {"solver": "pdhg", "prox": {"name": "tv", "weight": 0.01}, "scale": 1.0, "iterations": 6}
Run = Callable[..., None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(script, *arguments: str | Path) -> None:
        monkeypatch.setattr(sys, "argv", [script.__name__, *map(str, arguments)])
        script.main()

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Smooth colour images: two of 16x20, then one of 24x20 in the same file."""
    folder = tmp_path / "data"
    folder.mkdir()
    rows, columns = np.mgrid[:24, :20] / 24
    image = np.stack([rows, columns, (rows + columns) / 2]).astype(np.float32)
    with (folder / "test.npy").open("wb") as file:
        np.save(file, np.stack([image[:, :16], image[:, 4:20]]))
        np.save(file, image[None])
    np.save(folder / "validation.npy", image[None])
    return folder


def measured(run: Run, data: Path, **settings) -> Path:
    spec = {"split": "test", "first": 0, "images": 2, "operator": BLUR, "noise": 0.02, "seed": 0} | settings
    run(measure, "--spec", json.dumps(spec), "--data", data, "--output", data / "m.npz")
    return data / "m.npz"


def reconstructed(
    run: Run, measurement: Path, *more: str | Path, **settings
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    spec = {"operator": BLUR, "seed": 0, "first": 0, "clip": True, "method": METHOD} | settings
    files = [measurement.with_name(name) for name in ("images.csv", "iterations.csv", "x.npz")]
    options = zip(("--images", "--iterations", "--arrays"), files, strict=True)
    pairs = [item for pair in options for item in pair]
    run(reconstruct, "--spec", json.dumps(spec), "--measurement", measurement, *pairs, *more, "--device", "cpu")
    return pd.read_csv(files[0]), pd.read_csv(files[1]), np.load(files[2])["x"]


def test_border_and_channels_of_the_quality(run: Run, data: Path) -> None:
    measurement = measured(run, data)
    images, iterations, x = reconstructed(run, measurement, border=3, channelwise=True)
    truth = np.load(measurement)["x"]
    expected = psnr(x[..., 3:-3, 3:-3], truth[..., 3:-3, 3:-3], channelwise=True)
    np.testing.assert_allclose(images.psnr, expected, rtol=1e-6)
    assert images.iteration.tolist() == [6, 6]
    assert len(iterations) == 14
    assert "objective" not in iterations


def test_stops_on_its_residuals(run: Run, data: Path) -> None:
    stopping = METHOD | {"iterations": 500, "stop": 0.05}
    images, iterations, _ = reconstructed(run, measured(run, data), method=stopping)
    assert 2 < images.iteration[0] < 100
    last = iterations[iterations.iteration == images.iteration[0]]
    largest = iterations.groupby("image")[["primal", "dual"]].max()
    assert (last[["primal", "dual"]].to_numpy() <= 0.05 * largest.to_numpy()).all()


def test_total_variation_is_in_the_data_term(run: Run, data: Path) -> None:
    measurement = measured(run, data)
    _, iterations, x = reconstructed(run, measurement, method=METHOD | {"tv": 0.5}, clip=False)
    with np.load(measurement) as file:
        residual = build_operator(BLUR, x.shape[1:], 0)(torch.from_numpy(x)).numpy() - file["y"]
    variation = np.abs(np.diff(x, axis=2)).sum((1, 2, 3)) + np.abs(np.diff(x, axis=3)).sum((1, 2, 3))
    expected = (residual**2).sum((1, 2, 3)) + 0.5 * variation
    np.testing.assert_allclose(iterations[iterations.iteration == 6].data_term, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("cpu", "faster"),
    [
        ({"cpu_name": "AMD EPYC 9654", "avx512_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC 7763", "avx512_bf16": False}, False),
        ({}, False),
    ],
)
def test_learned_denoiser_clipped_and_in_bf16(
    run: Run, data: Path, cpu: dict[str, Any], faster: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    torch.manual_seed(0)
    model = build_network({"name": "dncnn", "channels": 3, "depth": 3, "hidden": 4})
    save_model(data / "model.pt", model, 0, {}, 0.0)
    measurement = measured(run, data, operator={"name": "bayer"}, noise=0)
    outputs = {}
    for precision in ("fp32", "bf16"):
        prox = {"model": "dncnn", "clip": True, "precision": precision}
        options = {"operator": {"name": "bayer"}, "method": METHOD | {"prox": prox}, "clip": False}
        arguments = ["--model", data / "model.pt", "--device", "cpu"]
        outputs[precision] = reconstructed(run, measurement, *arguments, **options)[2]
        assert outputs[precision].min() >= 0
        assert outputs[precision].max() <= 1
    difference = np.abs(outputs["fp32"] - outputs["bf16"])
    assert (0 < difference.max() < 0.05) if faster else not difference.any()
    assert ("is computed in fp32" in capsys.readouterr().out) != faster


def test_one_job_has_images_of_one_size(run: Run, data: Path) -> None:
    with np.load(measured(run, data, first=2, images=1)) as file:
        assert file["x"].shape == (1, 3, 24, 20)
    with pytest.raises(UserError, match="'images_per_job'"):
        measured(run, data, first=1, images=2)


def test_validation_images_are_cropped(run: Run, data: Path) -> None:
    with np.load(measured(run, data, split="validation", images=1, crop=8)) as file:
        np.testing.assert_array_equal(file["x"], np.load(data / "validation.npy")[..., 8:16, 6:14])


def test_odd_sides_under_a_mosaic(run: Run, data: Path) -> None:
    np.save(data / "test.npy", np.zeros((1, 3, 15, 20), np.float32))
    with pytest.raises(UserError, match="colour images of even sides, not 3 channels of 15 x 20"):
        measured(run, data, images=1, operator={"name": "bayer"})


def test_grid_search_over_data_weight_and_tv(run: Run, data: Path) -> None:
    measurement = measured(run, data, split="validation", images=1)
    points = [{"scale": 0.001, "tv": 0.0}, {"scale": 5.0, "tv": 0.0}]
    spec = json.dumps({"operator": BLUR, "seed": 0, "clip": True, "method": METHOD, "points": points})
    run(tune, "--spec", spec, "--measurement", measurement, "--output", data / "scores.json", "--device", "cpu")
    run(choose, data / "scores.json", "--output", data / "chosen.json")
    result = json.loads((data / "chosen.json").read_text())
    scores = [score["psnr"] for score in json.loads((data / "scores.json").read_text())]
    assert result["parameters"] == points[int(np.argmax(scores))]
    _, _, x = reconstructed(run, measurement, "--tuned", data / "chosen.json")
    assert psnr(x, np.load(measurement)["x"])[0] == pytest.approx(max(scores), rel=1e-6)
