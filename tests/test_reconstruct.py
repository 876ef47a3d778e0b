"""Measuring, tuning, reconstructing and tabulating tiny images, and what the scripts say to bad input."""

import io
import json
import math
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT

from lpn.checkpoints import load_model, save_model
from lpn.errors import UserError
from lpn.metrics import psnr, ssim
from lpn.networks import build_network
from lpn.operators import CompressedSensing, build_operator
from lpn.solvers import ExactProx

BLUR = {"name": "blur", "sigma": 1.0}
MEASUREMENT = {"split": "test", "first": 0, "images": 3, "operator": BLUR, "noise": 0.05, "seed": 7}
ADMM = {"solver": "admm", "rho": 0.1, "scale": 0.5, "iterations": 3}
TV = {"name": "tv", "weight": 0.05}
PDHG = {"solver": "pdhg", "prox": TV, "scale": 0.5, "iterations": 3}
QUALITY = ["image", "iteration", "psnr", "ssim"]
RESIDUALS = ["primal", "dual", "cg_iterations", "data_term"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return (script, *arguments) -> None, which runs a script in this process; specs are given as dictionaries."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))

    def run(script: str, *arguments: object) -> None:
        texts = [json.dumps(a) if isinstance(a, dict) else str(a) for a in arguments]
        monkeypatch.setattr(sys, "argv", [script, *texts])
        runpy.run_path(str(ROOT / f"scripts/{script}.py"), run_name="__main__")

    return run


@pytest.fixture
def refused(run: Callable[..., None]) -> Callable[..., str]:
    """Return (script, *arguments) -> the paragraph with which it ends."""

    def refused(script: str, *arguments: object) -> str:
        with pytest.raises(SystemExit) as ending:
            run(script, *arguments)
        message = str(ending.value.code)
        assert message.startswith("error: ")
        assert "\n" not in message
        return message

    return refused


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A prepared data set of 5 smooth 16x16 colour images."""
    folder = tmp_path / "data"
    folder.mkdir()
    position = np.arange(16)
    waves = [np.sin((k + 1) * position / 9)[:, None] * np.cos((k + c) * position / 7) for k in range(5) for c in range(3)]
    images = np.round(127.5 * (1 + np.array(waves))).astype(np.uint8).reshape(5, 3, 16, 16)
    np.save(folder / "test.npy", images)
    return folder


@pytest.fixture
def measurement(run: Callable[..., None], data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "measurement.npz"
    run("measure", "--spec", MEASUREMENT, "--data", data, "--output", path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """Return (network config) -> model.pt of random weights."""

    def make(**config: object) -> Path:
        torch.manual_seed(0)
        network = build_network(config)
        network.project()
        path = tmp_path / "_".join(map(str, config.values())) / "model.pt"
        path.parent.mkdir()
        save_model(path, network, 0, {}, 0.0)
        return path

    return make


def spec_of(method: dict, **changes: object) -> dict:
    return {"operator": BLUR, "seed": 7, "first": 0, "clip": False, "method": method} | changes


def outputs(folder: Path) -> list[object]:
    return ["--images", folder / "images.csv", "--iterations", folder / "iterations.csv", "--arrays", folder / "x.npz"]


def test_measurements_are_those_of_the_operator(run, data: Path, tmp_path: Path) -> None:
    images = torch.from_numpy(np.load(data / "test.npy")).float() / 255
    for noise, first, name in [(0.0, 0, "clean"), (0.3, 0, "noisy"), (0.3, 1, "part")]:
        spec = MEASUREMENT | {"noise": noise, "first": first, "images": 2}
        run("measure", "--spec", spec, "--data", data, "--output", tmp_path / f"{name}.npz")
    clean, noisy, part = (np.load(tmp_path / f"{name}.npz") for name in ("clean", "noisy", "part"))
    operator = build_operator(BLUR, (3, 16, 16), 0)
    np.testing.assert_array_equal(noisy["x"], images[:2])
    np.testing.assert_array_equal(clean["y"], operator(images[:2]))
    np.testing.assert_allclose(noisy["start"], operator.adjoint(torch.from_numpy(noisy["y"])), atol=1e-6)
    np.testing.assert_array_equal(noisy["observed"], noisy["y"][..., 2:-2, 2:-2])
    noise = noisy["y"] - clean["y"]
    assert noise.std() == pytest.approx(0.3, rel=0.05)
    assert abs((noise[0] * noise[1]).mean()) < 0.01
    np.testing.assert_array_equal(part["y"][0], noisy["y"][1])  # however images are split over jobs


def test_random_operator_is_saved_with_its_measurements(run, data: Path, tmp_path: Path) -> None:
    spec = MEASUREMENT | {"operator": {"name": "compressed_sensing", "measurements": 40}, "noise": 0.0}
    run("measure", "--spec", spec, "--data", data, "--output", tmp_path / "m.npz")
    arrays = np.load(tmp_path / "m.npz", allow_pickle=False)
    operator = CompressedSensing((3, 16, 16), arrays["filter"], arrays["sign"], arrays["rows"])
    np.testing.assert_allclose(operator(torch.from_numpy(arrays["x"])), arrays["y"], atol=1e-6)


@pytest.mark.parametrize(
    ("method", "operator"),
    [
        (ADMM | {"prox": TV}, BLUR),
        (ADMM | {"prox": TV, "box": True, "order": "213"}, {"name": "compressed_sensing", "measurements": 100}),
        ({"solver": "pgd", "prox": {"name": "wavelet", "weight": 0.02, "levels": 1}, "scale": 0.5, "iterations": 3}, BLUR),
    ],
    ids=["admm", "box", "pgd"],
)
def test_a_run_is_reproducible_to_the_byte(run, data: Path, tmp_path: Path, method: dict, operator: dict) -> None:
    for name in "ab":
        folder = tmp_path / name
        spec = MEASUREMENT | {"operator": operator}
        run("measure", "--spec", spec, "--data", data, "--output", folder / "m.npz")
        run("reconstruct", "--spec", spec_of(method, operator=operator), "--measurement", folder / "m.npz", *outputs(folder))
    for file in ("m.npz", "images.csv", "iterations.csv", "x.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


@pytest.mark.parametrize("clip", [False, True])
def test_tables_describe_the_reconstructions(run, measurement: Path, tmp_path: Path, clip: bool) -> None:
    spec = spec_of(ADMM | {"prox": TV, "iterations": 5}, first=20, clip=clip)
    run("reconstruct", "--spec", spec, "--measurement", measurement, *outputs(tmp_path))
    images, iterations = pd.read_csv(tmp_path / "images.csv"), pd.read_csv(tmp_path / "iterations.csv")
    x, truth = np.load(tmp_path / "x.npz")["x"], np.load(measurement)["x"]
    assert x.shape == (3, 3, 16, 16)
    assert ((x.min() >= 0) & (x.max() <= 1)) == clip
    assert list(images) == ["image", "psnr", "ssim", "iteration", "best_psnr", "best_iteration", "tuned"]
    assert list(images.image) == [20, 21, 22]
    np.testing.assert_allclose(images.psnr, psnr(x, truth), rtol=1e-6)
    np.testing.assert_allclose(images.ssim, ssim(x, truth), rtol=1e-5)

    assert list(iterations) == QUALITY + RESIDUALS  # no objective: TV is no learned proximal network
    assert list(iterations.iteration) == [number for number in range(6) for _ in range(3)]
    last = iterations[iterations.iteration == 5]
    np.testing.assert_allclose(last.psnr, images.psnr, rtol=1e-8)
    start = np.load(measurement)["start"]
    np.testing.assert_allclose(iterations.psnr[:3], psnr(start.clip(0, 1) if clip else start, truth), rtol=1e-6)
    assert iterations[RESIDUALS][:3].isna().all(axis=None)
    trace = iterations.pivot_table(index="iteration", columns="image", values="psnr")
    np.testing.assert_allclose(trace.max(), images.best_psnr, rtol=1e-8)
    assert list(trace.idxmax()) == list(images.best_iteration)
    if not clip:
        y = torch.from_numpy(np.load(measurement)["y"])
        residual = build_operator(BLUR, (3, 16, 16), 0)(torch.from_numpy(x)) - y
        np.testing.assert_allclose(last.data_term, 0.5 * residual.square().sum((1, 2, 3)), rtol=1e-5)


def test_without_the_truth_there_is_no_quality(run, refused, measurement: Path, tmp_path: Path) -> None:
    spec = spec_of(ADMM | {"prox": TV, "iterations": 5})
    run("reconstruct", "--spec", spec, "--measurement", measurement, *outputs(tmp_path))
    known = np.load(tmp_path / "x.npz")["x"]
    replace(measurement, x=None)
    run("reconstruct", "--spec", spec, "--measurement", measurement, *outputs(tmp_path))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["x"], known)
    assert list(pd.read_csv(tmp_path / "images.csv")) == ["image", "iteration", "tuned"]
    assert list(pd.read_csv(tmp_path / "iterations.csv")) == ["image", "iteration", *RESIDUALS]
    search = ["--spec", spec | {"points": [{"rho": 0.1}]}, "--output", tmp_path / "scores.json"]
    assert "lacks the array x, the truth" in refused("tune", "--measurement", measurement, *search)


def test_a_network_has_an_objective_that_falls(run, measurement: Path, model, tmp_path: Path) -> None:
    path = model(name="lpn_128", channels=3, hidden=4, size=16, alpha=0.4)
    method = {"solver": "pgd", "prox": {"model": "face"}, "scale": 0.5, "iterations": 12}
    run("reconstruct", "--spec", spec_of(method), "--measurement", measurement, "--model", path, *outputs(tmp_path))
    table = pd.read_csv(tmp_path / "iterations.csv")
    assert list(table) == [*QUALITY, *RESIDUALS, "regulariser", "objective"]
    table = table[table.iteration > 0]
    step = 0.99 / (2 * 0.5 * build_operator(BLUR, (3, 16, 16), 0).norm ** 2)
    np.testing.assert_allclose(table.objective, table.data_term + table.regulariser / step, rtol=1e-6, atol=1e-5)
    objective = table.pivot_table(index="iteration", columns="image", values="objective")
    assert (objective.diff().dropna() <= 1e-6 * objective.abs().max().max()).all(axis=None)
    assert (objective.iloc[-1] < objective.iloc[0] - 0.01).all()

    # the first iterate and its regulariser, from their definitions
    measured = {name: torch.from_numpy(array) for name, array in np.load(measurement).items()}
    prox, operator = ExactProx(load_model(path)), build_operator(BLUR, (3, 16, 16), 0)
    first = prox(measured["start"] - step * operator.adjoint(operator(measured["start"]) - measured["y"]))
    np.testing.assert_allclose(table.regulariser[:3], prox.regulariser, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(table.psnr[:3], psnr(first.numpy(), measured["x"].numpy()), rtol=1e-4)


@pytest.mark.parametrize("mode", ["exact", "paper"])
def test_a_network_of_smaller_patches(run, measurement: Path, model, tmp_path: Path, mode: str) -> None:
    path = model(name="lpn_128", channels=3, hidden=4, size=8, alpha=0.4)
    method = ADMM | {"prox": {"model": "face", "mode": mode, "stride": 4}}
    run("reconstruct", "--spec", spec_of(method), "--measurement", measurement, "--model", path, *outputs(tmp_path))
    table = pd.read_csv(tmp_path / "iterations.csv")
    assert list(table) == QUALITY + RESIDUALS + (["regulariser", "objective"] if mode == "exact" else [])


@pytest.mark.parametrize(("network", "solver"), [("dncnn", "admm"), ("gradient_step", "gradient_step")])
def test_unconstrained_denoisers_have_no_objective(
    run, measurement: Path, model, tmp_path: Path, network: str, solver: str
) -> None:
    path = model(name=network, channels=3, hidden=4)
    method = ADMM | {"solver": solver, "prox": {"model": "face"}}
    run("reconstruct", "--spec", spec_of(method), "--measurement", measurement, "--model", path, *outputs(tmp_path))
    assert list(pd.read_csv(tmp_path / "iterations.csv")) == QUALITY + RESIDUALS


def test_observation_is_the_observed_image(run, measurement: Path, tmp_path: Path) -> None:
    spec = spec_of({"solver": "observation"}, clip=True)
    run("reconstruct", "--spec", spec, "--measurement", measurement, *outputs(tmp_path))
    arrays = np.load(measurement)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["x"], arrays["observed"].clip(0, 1))
    images = pd.read_csv(tmp_path / "images.csv")
    np.testing.assert_allclose(images.psnr, psnr(arrays["observed"].clip(0, 1), arrays["x"]), rtol=1e-6)


def test_grid_search_finds_the_best_point(run, measurement: Path, tmp_path: Path, capsys) -> None:
    points = [{"prox.weight": weight, "rho": 0.1} for weight in (1e-4, 0.01, 3.0)]
    rows = [points[:2], points[2:]]
    files = [tmp_path / f"tuning/{i}.json" for i in range(2)]
    method = ADMM | {"prox": TV, "rho": 9.0}
    for row, file in zip(rows, files, strict=True):
        run("tune", "--spec", spec_of(method, points=row), "--measurement", measurement, "--output", file)
    tuned = tmp_path / "tuned.json"
    run("choose", *files, "--output", tuned)
    chosen = json.loads(tuned.read_text())
    scores = [score["psnr"] for file in files for score in json.loads(file.read_text())]
    best = int(np.argmax(scores))
    assert len(set(scores)) == 3
    assert chosen["parameters"] == points[best]
    assert [entry["psnr"] for entry in chosen["grid"]] == scores
    assert chosen["at_edge"] == (["prox.weight"] if best != 1 else [])  # rho has one value, and no edge
    assert ("end of the grid" in capsys.readouterr().out) == bool(chosen["at_edge"])

    arguments = ["--spec", spec_of(method), "--measurement", measurement, "--tuned", tuned]
    run("reconstruct", *arguments, *outputs(tmp_path))
    images = pd.read_csv(tmp_path / "images.csv")
    assert images.psnr.mean() == pytest.approx(scores[best], rel=1e-8)
    assert set(images.tuned) == {", ".join(f"{key} {value:g}" for key, value in chosen["parameters"].items())}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 6}, "images up to 6 .* has only 5"),
        ({"split": "train"}, r"train\.npy can't be read"),
        ({"operator": {"name": "sharpen"}}, "sharpen"),
        ({"operator": {"name": "compressed_sensing", "measurements": 257}}, "measurements.*256"),
        ({"seed": None}, "the settings lack the keys seed"),
        ({"noise": math.nan}, "'noise' is nan; it must be finite"),
        ({"noise": -1}, "'noise' is -1; it must be finite and not negative"),
        ({"crop": 40}, r"'tuning\.crop': squares of side 40 don't fit into images of 16x16"),
        ({"operator": {"name": "blur", "sigma": 1e9}}, "kernel of side 3000000000 is larger than the images"),
        ({"operator": {"name": "circular_blur", "kernel": "box", "side": 1001}}, "kernel of side 1001 is larger"),
    ],
)
def test_bad_measurements_are_refused(refused, data: Path, tmp_path: Path, change: dict, message: str) -> None:
    spec = {key: value for key, value in (MEASUREMENT | change).items() if value is not None}
    output = tmp_path / "m.npz"
    assert re.search(message, refused("measure", "--spec", spec, "--data", data, "--output", output))
    assert not output.exists()


def test_images_that_are_not_finite_are_refused(refused, data: Path, tmp_path: Path) -> None:
    images = np.full((5, 1, 16, 16), 0.5, np.float32)
    images[1, 0, 3, 3] = np.nan
    np.save(data / "test.npy", images)
    arguments = ["--spec", MEASUREMENT, "--data", data, "--output", tmp_path / "m.npz"]
    assert "test.npy holds NaN" in refused("measure", *arguments)
    (data / "test.npy").write_bytes((data / "test.npy").read_bytes()[:900])
    assert "test.npy can't be read" in refused("measure", *arguments)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def npy(array: np.ndarray) -> bytes:
    """Return the bytes of an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def replace(path: Path, **arrays: np.ndarray | None) -> None:
    """Write the file anew with some arrays replaced, or left out where None."""
    with np.load(path) as file:
        merged = {**file, **arrays}
    np.savez(path, **{name: array for name, array in merged.items() if array is not None})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"measurement\.npz can't be read"),
        (Path.unlink, r"measurement\.npz can't be read"),
        (lambda path: path.write_bytes(b""), r"measurement\.npz can't be read"),
        (lambda path: path.write_bytes(npy(np.zeros(3))), r"measurement\.npz can't be read"),
        (lambda path: replace(path, start=None), r"measurement\.npz lacks the array start"),
        (lambda path: replace(path, y=np.array({"a": 1})), r"measurement\.npz can't be read.*pickle"),
        (lambda path: replace(path, y=np.full((3, 3, 20, 20), np.nan)), r"the array y of .*measurement\.npz holds NaN"),
        (lambda path: replace(path, y=np.zeros((3, 3, 22, 22))), r"\(3, 22, 22\) don't fit the operator .*\(3, 20, 20\)"),
    ],
)
def test_damaged_measurements_are_refused(refused, measurement: Path, tmp_path: Path, damage, message: str) -> None:
    damage(measurement)
    arguments = ["--spec", spec_of(ADMM | {"prox": TV}), "--measurement", measurement, *outputs(tmp_path)]
    assert re.search(message, refused("reconstruct", *arguments))
    assert not (tmp_path / "images.csv").exists()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (ADMM | {"prox": TV, "step": 0.1}, "do not fit the solver admm.*step"),
        ({"solver": "admm", "prox": TV, "scale": 1, "iterations": 3}, "do not fit the solver admm.*rho"),
        ({"solver": "admm", "prox": TV, "rho": 1, "iterations": 3}, "do not fit the solver admm.*scale"),
        (ADMM | {"solver": "pgd", "prox": TV}, "do not fit the solver pgd.*rho"),
        ({"solver": "pgd", "prox": TV, "scale": 1, "iterations": 3, "step": 5}, r"'step' is 5.*below"),
        (ADMM | {"prox": TV, "order": "112"}, "'order' is '112'"),
        (ADMM | {"prox": TV, "solver": "newton"}, "'solver' is 'newton'.*observation, admm, pgd"),
        (ADMM, "lacks the keys prox, which admm"),
        (ADMM | {"prox": {"name": "tv"}}, "does not fit tv.*weight"),
        (ADMM | {"prox": {"name": "median"}}, "'median'"),
        (ADMM | {"prox": {"name": "tv", "weight": 0}}, r"'prox\.weight' is 0; it must be positive"),
        (ADMM | {"prox": TV, "rho": 0}, "'rho' is 0; it must be positive"),
        (ADMM | {"prox": TV, "scale": -1}, "'scale' is -1; it must be positive"),
        (ADMM | {"prox": TV, "iterations": 0}, "'iterations' is 0; at least 1"),
        (PDHG | {"tv": -1}, "'tv' and 'relaxation' are -1 and 1"),
        (PDHG | {"relaxation": 5}, r"'tv' and 'relaxation' are 0\.0 and 5"),
    ],
)
def test_keys_that_do_not_fit_are_refused(refused, measurement: Path, tmp_path: Path, method: dict, message: str) -> None:
    assert re.search(
        message, refused("reconstruct", "--spec", spec_of(method), "--measurement", measurement, *outputs(tmp_path))
    )


def test_measurements_of_another_seed_are_refused(run, refused, data: Path, tmp_path: Path) -> None:
    operator = {"name": "compressed_sensing", "measurements": 50}
    run("measure", "--spec", MEASUREMENT | {"operator": operator}, "--data", data, "--output", tmp_path / "m.npz")
    spec = spec_of(ADMM | {"prox": TV}, operator=operator, seed=MEASUREMENT["seed"] + 1)
    assert "and the seed that they were made with" in refused(
        "reconstruct", "--spec", spec, "--measurement", tmp_path / "m.npz", *outputs(tmp_path)
    )


def test_a_grid_that_diverges_everywhere_is_named(refused, tmp_path: Path) -> None:
    (tmp_path / "0.json").write_text(json.dumps([{"parameters": {"rho": rho}, "psnr": None} for rho in (1, 2)]))
    assert "diverged at every point" in refused("choose", tmp_path / "0.json", "--output", tmp_path / "tuned.json")


def test_missing_settings_are_refused(refused, measurement: Path, tmp_path: Path) -> None:
    spec = spec_of(ADMM | {"prox": TV})
    del spec["clip"]
    assert "lack the keys clip" in refused("reconstruct", "--spec", spec, "--measurement", measurement, *outputs(tmp_path))


@pytest.mark.parametrize(
    ("network", "prox", "message"),
    [
        ({"name": "lpn_128", "channels": 1, "hidden": 2, "size": 16}, {}, r"model\.pt takes inputs of shape \(1, 16, 16\)"),
        (
            {"name": "dncnn", "channels": 1, "hidden": 2, "depth": 3},
            {},
            r"model\.pt takes inputs of shape \(1, None, None\)",
        ),
        ({"name": "lpn_1d", "hidden": 2}, {}, r"model\.pt takes inputs of shape \(1,\)"),
        (
            {"name": "lpn_128", "channels": 3, "hidden": 2, "size": 32},
            {"mode": "paper"},
            "smaller than the patches of 32x32",
        ),
        ({"name": "lpn_128", "channels": 3, "hidden": 2, "size": 8}, {"stride": 3}, "'stride' is 3"),
        ({"name": "lpn_128", "channels": 3, "hidden": 2, "size": 8}, {"mode": "mean"}, "'mode' is 'mean'"),
        ({"name": "lpn_128", "channels": 3, "hidden": 2, "size": 8}, {"weight": 0.1}, "has no keys weight, only mode"),
        ({"name": "lpn_128", "channels": 3, "hidden": 2, "size": 8}, {"strength": 5}, r"'prox\.strength' is 5; it must be"),
        (
            {"name": "lpn_128", "channels": 3, "hidden": 2, "size": 8},
            {"strength": 0.1, "mode": "paper"},
            "'prox.strength' is for learned proximal networks in exact mode",
        ),
        ({"name": "dncnn", "channels": 3, "hidden": 2, "depth": 3}, TV, "has no keys name, weight, only precision"),
    ],
)
def test_models_that_do_not_fit_are_refused(
    refused, measurement: Path, model, tmp_path: Path, network: dict, prox: dict, message: str
) -> None:
    path, spec = model(**network), spec_of(ADMM | {"prox": {"model": "face", **prox}})
    arguments = ["--spec", spec, "--measurement", measurement, "--model", path, *outputs(tmp_path)]
    assert re.search(message, refused("reconstruct", *arguments))


def test_damaged_models_are_refused(refused, measurement: Path, model, tmp_path: Path) -> None:
    path = model(name="dncnn", channels=3, hidden=2, depth=3)
    cut(path)
    spec = spec_of(ADMM | {"prox": {"model": "face"}})
    arguments = ["--spec", spec, "--measurement", measurement, "--model", path, *outputs(tmp_path)]
    assert "truncated or corrupt" in refused("reconstruct", *arguments)


def test_divergence_is_named_and_writes_nothing(run, refused, measurement: Path, model, tmp_path: Path) -> None:
    path = model(name="dncnn", channels=3, hidden=4, depth=3)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["model_state_dict"]["convolutions.2.weight"] *= 1e30
    torch.save(checkpoint, path)
    spec = spec_of(ADMM | {"prox": {"model": "face"}, "iterations": 50})
    arguments = ["--measurement", measurement, "--model", path]
    message = refused("reconstruct", "--spec", spec, *arguments, *outputs(tmp_path))
    assert re.search("diverged: iterate [2-9] is not finite", message)
    assert not (tmp_path / "images.csv").exists()

    # a grid search goes on
    spec["points"] = [{"iterations": 50}, {"iterations": 1}]
    run("tune", "--spec", spec, *arguments, "--output", tmp_path / "scores.json")
    run("choose", tmp_path / "scores.json", "--output", tmp_path / "tuned.json")
    chosen = json.loads((tmp_path / "tuned.json").read_text())
    assert chosen["parameters"] == spec["points"][1]
    assert chosen["grid"][0]["psnr"] is None
    assert np.isfinite(chosen["grid"][1]["psnr"])


def test_a_grid_search_goes_on_where_only_the_psnr_overflows(run, measurement: Path, model, tmp_path: Path) -> None:
    path = model(name="dncnn", channels=3, hidden=4, depth=3)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["model_state_dict"]["convolutions.2.weight"] *= 1e30
    torch.save(checkpoint, path)
    spec = spec_of({"solver": "pgd", "prox": {"model": "face"}, "scale": 0.5}) | {"points": [{"iterations": 1}]}
    run("tune", "--spec", spec, "--measurement", measurement, "--model", path, "--output", tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text()) == [{"parameters": {"iterations": 1}, "psnr": None}]


def test_borders_that_leave_nothing_are_refused(refused, measurement: Path, tmp_path: Path) -> None:
    arguments = ["--spec", spec_of(ADMM | {"prox": TV}, border=8), "--measurement", measurement, *outputs(tmp_path)]
    assert "'border' is 8" in refused("reconstruct", *arguments)


@pytest.mark.parametrize(
    ("text", "found"), [("seed: 1e-3", 1e-3), ("seed: -.5E+2", -50.0), ("seed: 12", 12), ("seed: e5", "e5")]
)
def test_settings_in_yaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, found: object) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from _cli import read_spec

    (tmp_path / "spec.yaml").write_text(text)
    assert read_spec(str(tmp_path / "spec.yaml"), "seed") == {"seed": found}
    for other in ("", "- seed"):
        (tmp_path / "spec.yaml").write_text(other)
        with pytest.raises(UserError, match=r"spec\.yaml must be a mapping"):
            read_spec(str(tmp_path / "spec.yaml"), "seed")


def test_certifying_needs_images(refused, model) -> None:
    spec = {"data": "mnist", "points": 2, "lanczos_steps": 3, "inversion_tolerance": 1e-3, "seed": 0}
    assert "--data names the folder" in refused("certify", "--spec", spec, "--model", model(name="lpn_28", hidden=2))


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    """Per-image metrics of two methods, one of them in two parts."""
    values = {"blur/lpn/0": [(30, 0.9, 30.5), (28, 0.8, 28)], "blur/lpn/1": [(32, 0.7, 32.1)], "blur/tv/0": [(27, 0.6, 27)]}
    files = []
    for name, rows in values.items():
        files.append(tmp_path / "inverse" / f"{name}.csv")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        frame = pd.DataFrame(rows, columns=["psnr", "ssim", "best_psnr"]).assign(iteration=20, tuned="rho 0.1")
        frame.to_csv(files[-1], index_label="image")
    return files


def test_latex_of_titles(run, monkeypatch: pytest.MonkeyPatch, results: list[Path], tmp_path: Path) -> None:
    titles = {"blur": {"title": "$\\sigma_{blur} = 1$ & 2 %", "data": "celeba", "operator": {}, "noise": 0,
                       "methods": {"lpn": "LPN, $\\rho > \\|A^TA\\|$", "tv": "T_V"}}}  # fmt: skip
    (tmp_path / "published.yaml").write_text(yaml.safe_dump({"experiments": {}, "results": []}))
    files = ["--published", tmp_path / "published.yaml", "--output", tmp_path / "deblurring.csv", *results]
    run("make_table", "deblurring", "--label", "a|b", "--titles", titles, *files)
    latex = (tmp_path / "deblurring.tex").read_text()
    for text in (
        r"$\sigma_{blur} = 1$ \& 2 \% &",
        r"& LPN, $\rho > \|A^TA\|$ &",
        r"& T\_V &",
        r"psnr\_mean",
        r"a\textbar{}b",
    ):
        assert text in latex


def convergence_curves(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the curves of the notebook inverse_convergence for two parts of the method tv."""
    notebook = json.loads((ROOT / "workflow/notebooks/inverse_convergence.ipynb").read_text())
    variables = {"folder": str(folder), "methods": {"tv": "TV"}, "iterative": ["tv"], "parts": 2}
    exec("".join(notebook["cells"][2]["source"]), variables)
    return variables["curves"]


def test_images_whose_solver_stopped_keep_their_last_values(tmp_path: Path) -> None:
    (tmp_path / "tv").mkdir()
    for part, quality in enumerate(([20.0, 25.0], [30.0, 31.0, 32.0, 33.0])):
        frame = pd.DataFrame({"image": part, "iteration": range(1, len(quality) + 1), "psnr": quality})
        frame.to_csv(tmp_path / f"tv/{part}_iterations.csv", index=False)
    curve = convergence_curves(tmp_path)["TV"]
    assert dict(curve.psnr) == {1: 25.0, 2: 28.0, 3: 28.5, 4: 29.0}


def test_reconstruction_table(run, results: list[Path], tmp_path: Path) -> None:
    problem = {"operator": {"name": "blur", "sigma": 1.0}, "noise": 0.02}
    titles = {"blur": {"title": "Deblurring, 2 %", "data": "celeba", "methods": {"lpn": "LPN", "tv": "TV"}} | problem}
    quality = {"AR": [31.5, None], "LPN": {"psnr_mean": 33.0, "psnr_std": 0.5}}
    entry = {"source": "a paper", "data": "celeba", "images": 20, "psnr_ssim": {"blur": quality, "other": {"AR": [1, 1]}}}
    published, output = tmp_path / "published.yaml", tmp_path / "deblurring.csv"
    results_of = {"experiments": {"blur": problem}, "results": [entry, entry | {"data": "mayo"}]}
    published.write_text(yaml.safe_dump(results_of))
    files = ["--published", published, "--output", output, *results]
    run("make_table", "deblurring", "--label", "test", "--titles", titles, *files)
    table = pd.read_csv(output)
    assert list(table.method) == ["LPN", "TV", "AR", "LPN"]
    assert list(table.source) == ["this run", "this run", "a paper", "a paper"]
    assert list(table.scale) == ["test", "test", "published", "published"]
    assert set(table.data) == {"celeba"}
    lpn = table.iloc[0]
    assert (lpn.experiment, lpn.images) == ("Deblurring, 2 %", 3)
    assert lpn.psnr_mean == pytest.approx(30)
    assert lpn.psnr_std == pytest.approx((8 / 3) ** 0.5, rel=1e-5)
    assert lpn.ssim_mean == pytest.approx(0.8)
    assert lpn.largest_psnr_drop == pytest.approx(0.5)
    assert lpn.tuned == "rho 0.1"
    assert table.psnr_mean[2:].tolist() == [31.5, 33.0]
    assert table.psnr_std[3] == 0.5
    assert table.ssim_mean[2:].isna().all()
    assert "| LPN" in output.with_suffix(".md").read_text()
    assert r"Deblurring, 2 \%" in output.with_suffix(".tex").read_text()

    titles["blur"]["noise"] = 0.2  # another problem than the published one
    run("make_table", "deblurring", "--label", "test", "--titles", titles, *files)
    assert set(pd.read_csv(output).source) == {"this run"}


def test_bad_tables_are_refused(refused, results: list[Path], tmp_path: Path) -> None:
    files = ["--label", "test", "--output", tmp_path / "table.csv", *results]
    assert "needs --titles and --published" in refused("make_table", "inpainting", *files)
    titles = {"blur": {"title": "", "data": "celeba", "operator": {}, "noise": 0, "methods": {"bm3d": "BM3D"}}}
    options = ["--titles", json.dumps(titles), "--published", tmp_path / "published.yaml"]
    assert "hold no results of blur by bm3d" in refused("make_table", "inpainting", *options, *files)
