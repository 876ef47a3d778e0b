import io
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lpn.checkpoints import load_model
from lpn.compute import use_bf16
from lpn.denoisers import ExactProx
from lpn.metrics import psnr, ssim
from lpn.operators.blur import BlurSettings

from .conftest import ADMM, BLUR, MEASUREMENT, TV, cut, outputs, replace, spec_of

LABELS = ["experiment", "method"]
QUALITY = [*LABELS, "image", "iteration", "psnr", "ssim"]
RESIDUALS = ["primal", "dual", "cg_iterations", "data_term"]
PGD = {"solver": "pgd", "prox": TV, "scale": 0.5, "iterations": 3}
FACE = ADMM | {"prox": {"model": "face"}}
Run = Callable[..., None]
Refused = Callable[..., str]
Model = Callable[..., Path]


@pytest.mark.parametrize(
    ("method", "operator"),
    [
        (ADMM, BLUR),
        (
            ADMM | {"solver": {"name": "admm", "rho": 0.1, "box": True, "order": "213"}},
            {"name": "compressed_sensing", "measurements": 100},
        ),
        (PGD | {"prox": {"name": "wavelet", "weight": 0.02, "levels": 1}}, BLUR),
    ],
    ids=["admm", "box", "pgd"],
)
def test_a_run_is_reproducible_to_the_byte(
    run: Run, data: Path, tmp_path: Path, method: dict[str, Any], operator: dict[str, Any]
) -> None:
    for name in "ab":
        folder = tmp_path / name
        spec = MEASUREMENT | {"operator": operator}
        run("measure", "--spec", spec, "--data", data, "--output", folder / "m.npz")
        run("reconstruct", "--spec", spec_of(method, operator=operator), "--measurement", folder / "m.npz", *outputs(folder))
    for file in ("m.npz", "images.csv", "iterations.csv", "x.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


@pytest.mark.parametrize("clip", [False, True])
def test_tables_describe_the_reconstructions(run: Run, measurement: Path, tmp_path: Path, clip: bool) -> None:
    names = {"experiment": "deblur", "method_name": "total, variation"}
    spec = spec_of(ADMM | {"iterations": 5}, first=20, clip=clip, **names)
    run("reconstruct", "--spec", spec, "--measurement", measurement, *outputs(tmp_path))
    images, iterations = pd.read_csv(tmp_path / "images.csv"), pd.read_csv(tmp_path / "iterations.csv")
    x, truth = np.load(tmp_path / "x.npz")["reconstruction"], np.load(measurement)["truth"]
    assert x.shape == (3, 3, 16, 16)
    assert ((x.min() >= 0) & (x.max() <= 1)) == clip
    assert list(images) == [
        *LABELS,
        "image",
        "psnr",
        "ssim",
        "iteration",
        "best_psnr",
        "best_iteration",
        "tuned",
        "precision",
    ]
    assert list(images.image) == [20, 21, 22]
    for table in (images, iterations):
        assert set(table.experiment) == {"deblur"}
        assert set(table.method) == {"total, variation"}
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
        residual = BlurSettings(sigma=1.0).build((3, 16, 16), 0)(torch.from_numpy(x)) - y
        np.testing.assert_allclose(last.data_term, 0.5 * residual.square().sum((1, 2, 3)), rtol=1e-5)


def test_without_the_truth_there_is_no_quality(run: Run, refused: Refused, measurement: Path, tmp_path: Path) -> None:
    spec = spec_of(ADMM | {"iterations": 5})
    run("reconstruct", "--spec", spec, "--measurement", measurement, *outputs(tmp_path))
    known = np.load(tmp_path / "x.npz")["reconstruction"]
    replace(measurement, truth=None)
    run("reconstruct", "--spec", spec, "--measurement", measurement, *outputs(tmp_path))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["reconstruction"], known)
    assert list(pd.read_csv(tmp_path / "images.csv")) == [*LABELS, "image", "iteration", "tuned", "precision"]
    assert list(pd.read_csv(tmp_path / "iterations.csv")) == [*LABELS, "image", "iteration", *RESIDUALS]
    search = ["--spec", spec | {"points": [{"solver.rho": 0.1}]}, "--output", tmp_path / "scores.json"]
    assert "the measurements lack the truth" in refused("tune", "--measurement", measurement, *search)


def test_the_arithmetic_is_named(run: Run, measurement: Path, model: Model, tmp_path: Path) -> None:
    path = model(name="dncnn", channels=3, depth=2, hidden=2)
    (path.parent / "made_with.json").write_text('{"precision": "bf16"}')
    bf16 = "bf16" if use_bf16(torch.device("cpu")) else "fp32 in place of bf16"
    for precision, expected in {"bf16": f"{bf16}, trained in bf16", "fp32": "fp32, trained in bf16"}.items():
        spec = spec_of(PGD | {"prox": {"model": "face", "precision": precision}})
        run("reconstruct", "--spec", spec, "--measurement", measurement, "--model", path, *outputs(tmp_path))
        assert set(pd.read_csv(tmp_path / "images.csv").precision) == {expected}


def test_a_network_has_an_objective_that_falls(run: Run, measurement: Path, model: Model, tmp_path: Path) -> None:
    path = model(name="lpn_patch", channels=3, hidden=4, size=16, alpha=0.4)
    spec = spec_of(PGD | {"prox": {"model": "face"}, "iterations": 12})
    run("reconstruct", "--spec", spec, "--measurement", measurement, "--model", path, *outputs(tmp_path))
    table = pd.read_csv(tmp_path / "iterations.csv")
    assert list(table) == [*QUALITY, *RESIDUALS, "regulariser", "objective"]
    table = table[table.iteration > 0]
    operator = BlurSettings(sigma=1.0).build((3, 16, 16), 0)
    step = 0.99 / (2 * 0.5 * operator.norm**2)
    np.testing.assert_allclose(table.objective, table.data_term + table.regulariser / step, rtol=1e-6, atol=1e-5)
    objective = table.pivot_table(index="iteration", columns="image", values="objective")
    assert (objective.diff().dropna() <= 1e-6 * objective.abs().max().max()).all(axis=None)
    assert (objective.iloc[-1] < objective.iloc[0] - 0.01).all()

    # the first iterate and its regulariser, from their definitions
    measured = {name: torch.from_numpy(array) for name, array in np.load(measurement).items()}
    prox = ExactProx(load_model(path))
    gradient = operator.adjoint(operator(measured["start"]) - measured["y"])
    first, regulariser = prox.evaluate(measured["start"] - step * gradient)
    np.testing.assert_allclose(table.regulariser[:3], regulariser, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(table.psnr[:3], psnr(first.numpy(), measured["truth"].numpy()), rtol=1e-4)


@pytest.mark.parametrize("average", ["uniform", "by_count"])
def test_a_network_of_smaller_patches(run: Run, measurement: Path, model: Model, tmp_path: Path, average: str) -> None:
    path = model(name="lpn_patch", channels=3, hidden=4, size=8, alpha=0.4)
    method = ADMM | {"prox": {"model": "face", "average": average, "stride": 4}}
    run("reconstruct", "--spec", spec_of(method), "--measurement", measurement, "--model", path, *outputs(tmp_path))
    table = pd.read_csv(tmp_path / "iterations.csv")
    assert list(table) == QUALITY + RESIDUALS + (["regulariser", "objective"] if average == "uniform" else [])


@pytest.mark.parametrize(("network", "solver"), [("dncnn", "admm"), ("gradient_step", "gradient_step")])
def test_unconstrained_denoisers_have_no_objective(
    run: Run, measurement: Path, model: Model, tmp_path: Path, network: str, solver: str
) -> None:
    path = model(name=network, channels=3, hidden=4)
    method = FACE | {"solver": {"name": solver, "rho": 0.1}}
    run("reconstruct", "--spec", spec_of(method), "--measurement", measurement, "--model", path, *outputs(tmp_path))
    assert list(pd.read_csv(tmp_path / "iterations.csv")) == QUALITY + RESIDUALS


def test_a_method_without_solver_shows_the_observed_image(run: Run, measurement: Path, tmp_path: Path) -> None:
    run("reconstruct", "--spec", spec_of({}, clip=True), "--measurement", measurement, *outputs(tmp_path))
    arrays = np.load(measurement)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["reconstruction"], arrays["observed"].clip(0, 1))
    images = pd.read_csv(tmp_path / "images.csv")
    np.testing.assert_allclose(images.psnr, psnr(arrays["observed"].clip(0, 1), arrays["truth"]), rtol=1e-6)


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
    run: Run, data: Path, model: Model, tmp_path: Path, cpu: dict[str, Any], faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    path, bayer = model(name="dncnn", channels=3, depth=3, hidden=4), {"operator": {"name": "bayer"}}
    run("measure", "--spec", MEASUREMENT | bayer | {"noise": 0}, "--data", data, "--output", tmp_path / "m.npz")
    arguments = ["--measurement", tmp_path / "m.npz", "--model", path, "--device", "cpu", *outputs(tmp_path)]
    results = {}
    for precision in ("fp32", "bf16"):
        method = PGD | {"solver": "pdhg", "prox": {"model": "dncnn", "clip": True, "precision": precision}}
        run("reconstruct", "--spec", spec_of(method, **bayer), *arguments)
        results[precision] = np.load(tmp_path / "x.npz")["reconstruction"]
        assert results[precision].min() >= 0
        assert results[precision].max() <= 1
    difference = np.abs(results["fp32"] - results["bf16"])
    assert (0 < difference.max() < 0.05) if faster else not difference.any()


def npy(array: np.ndarray) -> bytes:
    """Return the bytes of an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"measurement\.npz can't be read"),
        (Path.unlink, r"measurement\.npz can't be read \(No such file"),
        (lambda path: path.write_bytes(b""), r"measurement\.npz can't be read"),
        (lambda path: path.write_bytes(npy(np.zeros(3))), r"measurement\.npz can't be read"),
        (lambda path: replace(path, y=None), r"measurement\.npz lacks the array y"),
        (lambda path: replace(path, y=np.array({"a": 1})), r"measurement\.npz can't be read.*pickle"),
        (lambda path: replace(path, y=np.full((3, 3, 20, 20), np.nan)), r"the array y of .*measurement\.npz is nan"),
        (lambda path: replace(path, y=np.zeros((3, 3, 22, 22))), r"\(3, 3, 22, 22\);.* must be \(N, 3, 20, 20\)"),
    ],
)
def test_damaged_measurements_are_refused(
    refused: Refused, measurement: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(measurement)
    arguments = ["--spec", spec_of(ADMM), "--measurement", measurement, *outputs(tmp_path)]
    assert re.search(message, refused("reconstruct", *arguments))
    assert not (tmp_path / "images.csv").exists()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (ADMM | {"solver": {"name": "admm", "rho": 0.1, "step": 0.1}}, "'method.solver': unknown key 'step'"),
        (ADMM | {"solver": "admm"}, "'method.solver' lacks 'rho'"),
        ({"solver": {"name": "admm", "rho": 1}, "prox": TV, "iterations": 3}, "'method': lacks scale: a method needs"),
        (PGD | {"solver": {"name": "pgd", "rho": 1}}, "'method.solver': unknown key 'rho'"),
        (PGD | {"scale": 1, "solver": {"name": "pgd", "step": 5}}, r"the method: step must be below .*, not 5"),
        (ADMM | {"solver": {"name": "admm", "rho": 1, "order": "112"}}, "'method.solver.order' is '112'"),
        (ADMM | {"solver": "newton"}, "'method.solver': unknown solver 'newton'.*admm, gradient_descent, gradient_step"),
        ({"solver": {"name": "admm", "rho": 1}, "scale": 1, "iterations": 3}, "'method': lacks prox"),
        (ADMM | {"prox": {"name": "tv"}}, "'method.prox' lacks 'weight'"),
        (ADMM | {"prox": {"name": "median"}}, "unknown prox 'median'"),
        (ADMM | {"prox": {"name": "tv", "weight": 0}}, r"'method\.prox\.weight' is 0"),
        (ADMM | {"solver": {"name": "admm", "rho": 0}}, "'method.solver.rho' is 0"),
        (ADMM | {"scale": -1}, "'method.scale' is -1"),
        (ADMM | {"iterations": 0}, "'method.iterations' is 0"),
        (PGD | {"solver": {"name": "pdhg", "tv": -1}}, "'method.solver.tv' is -1"),
        (PGD | {"solver": {"name": "pdhg", "relaxation": 5}}, "'method.solver.relaxation' is 5"),
        (ADMM | {"prox": {"model": "face"}}, "its prior is the network 'face', which must be given"),
    ],
)
def test_methods_that_do_not_fit_are_refused(
    refused: Refused, measurement: Path, tmp_path: Path, method: dict[str, Any], message: str
) -> None:
    arguments = ["--spec", spec_of(method), "--measurement", measurement, *outputs(tmp_path)]
    assert re.search(message, refused("reconstruct", *arguments))


def test_measurements_of_another_seed_are_refused(run: Run, refused: Refused, data: Path, tmp_path: Path) -> None:
    operator = {"name": "compressed_sensing", "measurements": 50}
    run("measure", "--spec", MEASUREMENT | {"operator": operator}, "--data", data, "--output", tmp_path / "m.npz")
    spec = spec_of(ADMM, operator=operator, seed=8)
    arguments = ["--spec", spec, "--measurement", tmp_path / "m.npz", *outputs(tmp_path)]
    assert "m.npz is not what the seed 8 draws" in refused("reconstruct", *arguments)


def test_your_own_measurements(run: Run, measurement: Path, tmp_path: Path) -> None:
    """y alone, of one image, in float64 and without the axis of images, has the result of the whole file."""
    spec = spec_of(ADMM)
    run("reconstruct", "--spec", spec, "--measurement", measurement, *outputs(tmp_path))
    expected = np.load(tmp_path / "x.npz")["reconstruction"][:1]
    with np.load(measurement) as file:
        np.savez(tmp_path / "own.npz", y=file["y"][0].astype(float))
    run("reconstruct", "--spec", spec | {"shape": [3, 16, 16]}, "--measurement", tmp_path / "own.npz", *outputs(tmp_path))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["reconstruction"], expected)


def test_shapes_of_images_are_checked(refused: Refused, measurement: Path, tmp_path: Path) -> None:
    arguments = ["--measurement", measurement, *outputs(tmp_path)]
    assert "'shape.1' is 0" in refused("reconstruct", "--spec", spec_of(ADMM, shape=[3, 0, 16]), *arguments)
    assert "'shape' is [16, 16]" in refused("reconstruct", "--spec", spec_of(ADMM, shape=[16, 16]), *arguments)


@pytest.mark.parametrize("script", ["reconstruct", "tune"])
def test_the_help_names_every_array(run: Run, script: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(script, "--help")
    words = re.findall(r"\w+", capsys.readouterr().out)
    assert {"y", "start", "observed", "truth", "filter", "sign", "rows"} <= {*words}


def test_missing_settings_are_refused(refused: Refused, measurement: Path, tmp_path: Path) -> None:
    spec = spec_of(ADMM)
    del spec["clip"]
    arguments = ["--spec", spec, "--measurement", measurement, *outputs(tmp_path)]
    assert "lacks 'clip'" in refused("reconstruct", *arguments)


PATCH = {"name": "lpn_patch", "channels": 3, "hidden": 2, "size": 8}


@pytest.mark.parametrize(
    ("network", "prox", "message"),
    [
        (PATCH | {"channels": 1, "size": 16}, {}, r"model\.pt: the network takes inputs of shape \(1, 16, 16\)"),
        ({"name": "dncnn", "channels": 1, "hidden": 2, "depth": 3}, {}, r"inputs of shape \(1, any, any\)"),
        ({"name": "lpn_scalar", "hidden": 2}, {}, r"model\.pt: the network takes inputs of shape \(1\)"),
        (PATCH | {"size": 32}, {"average": "by_count"}, "smaller than the patches of 32x32"),
        (PATCH, {"stride": 3}, "stride is 3"),
        (PATCH, {"average": "mean"}, "'method.prox.average' is 'mean'"),
        (PATCH, {"weight": 0.1}, "'method.prox': unknown key 'weight'"),
        (PATCH, {"strength": 5}, r"'method\.prox\.strength' is 5"),
        (PATCH, {"strength": 0.1, "average": "by_count"}, "strength is for the average uniform"),
        (PATCH, {"name": "tv", "weight": 1, "model": None}, "the denoiser tv is no network, but one is given"),
        ({"name": "dncnn", "channels": 3, "hidden": 2, "depth": 3}, {"strength": 0.5}, "strength is a setting of learned"),
    ],
)
def test_models_that_do_not_fit_are_refused(
    refused: Refused, measurement: Path, model: Model, tmp_path: Path, network: dict, prox: dict, message: str
) -> None:
    settings = {key: value for key, value in {"model": "face", **prox}.items() if value is not None}
    path, spec = model(**network), spec_of(ADMM | {"prox": settings})
    arguments = ["--spec", spec, "--measurement", measurement, "--model", path, *outputs(tmp_path)]
    assert re.search(message, refused("reconstruct", *arguments))


def test_damaged_models_are_refused(refused: Refused, measurement: Path, model: Model, tmp_path: Path) -> None:
    path = model(name="dncnn", channels=3, hidden=2, depth=3)
    cut(path)
    arguments = ["--spec", spec_of(FACE), "--measurement", measurement, "--model", path, *outputs(tmp_path)]
    assert "truncated or corrupt" in refused("reconstruct", *arguments)


def test_images_under_the_window_of_the_ssim_are_refused(run: Run, refused: Refused, data: Path, tmp_path: Path) -> None:
    run("measure", "--spec", MEASUREMENT | {"crop": 6}, "--data", data, "--output", tmp_path / "m.npz")
    arguments = ["--spec", spec_of(ADMM), "--measurement", tmp_path / "m.npz", *outputs(tmp_path)]
    assert "images of 6x6 pixels are smaller than the window of the SSIM, 7x7" in refused("reconstruct", *arguments)


def test_borders_that_leave_nothing_are_refused(refused: Refused, measurement: Path, tmp_path: Path) -> None:
    arguments = ["--spec", spec_of(ADMM, border=8), "--measurement", measurement, *outputs(tmp_path)]
    assert "border 8 leaves less than 7x7" in refused("reconstruct", *arguments)


@pytest.mark.parametrize(("option", "other"), [("--arrays", "--measurement"), ("--images", "--iterations")])
def test_outputs_overwrite_no_other_file(
    refused: Refused, measurement: Path, tmp_path: Path, option: str, other: str
) -> None:
    before = measurement.read_bytes()
    written = outputs(tmp_path)
    files = dict(zip(written[::2], written[1::2], strict=True)) | {"--measurement": measurement}
    files[option] = tmp_path / "nowhere" / ".." / files[other].name
    message = refused("reconstruct", "--spec", spec_of(ADMM), *itertools.chain(*files.items()))
    assert re.search(r"--\w+ and --\w+ name the same file, .* It would be overwritten", message)
    assert {option, other} == set(re.findall(r"--\w+", message))
    assert measurement.read_bytes() == before
