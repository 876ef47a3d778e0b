"""Figures from notebooks."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

CURVE = {"model": "net", "x": [-1.0, 1.0], "prox": 0.5, "potential": 0.5, "regulariser": 1.0, "residual": 1e-9}
PRIOR = {"model": "net", "perturbation": "blur", "level": 0.5, "image": [0, 1], "regulariser": [1.0, 4.0], "residual": 1e-7}
SCORES = {"psnr": 20.0, "ssim": 0.5, "iteration": 3, "best_psnr": 21.0, "tuned": "", "precision": "fp32"}
RESULT = {"experiment": "blur", "method": "tv", "image": [4, 5]} | SCORES
ITERATIONS = {"experiment": "blur", "method": "tv", "image": 0, "iteration": [0, 1], "psnr": [20.0, 21.0]}
GRID = {"parameters": {"scale": 1}, "grid": [{"scale": 1, "psnr": 20.0}, {"scale": 2, "psnr": None}], "at_edge": []}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small files of each kind. What the script changes in the environment is put back."""
    for name in ("SOURCE_DATE_EPOCH", "JUPYTER_PATH", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, "1")
    for name, rows in {"curve": CURVE, "prior": PRIOR, "result": RESULT, "iterations": ITERATIONS}.items():
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
    np.savez(tmp_path / "prior.npz", perturbed=np.zeros((1, 2, 1, 4, 4)))
    np.savez(tmp_path / "result.npz", reconstruction=np.zeros((2, 3, 4, 4), np.float32))
    np.savez(tmp_path / "measurements.npz", truth=np.ones((2, 3, 4, 4), np.float32))
    (tmp_path / "grid.json").write_text(json.dumps(GRID))
    return tmp_path


def rendering(folder: Path, kind: str, settings: dict[str, Any], *files: Path) -> list[object]:
    """Return the arguments that draw a figure."""
    output = ["--executed", folder / "out" / f"{kind}.ipynb", "--pdf", folder / "out" / f"{kind}.pdf"]
    notebook = ROOT / f"workflow/notebooks/{kind}.ipynb"
    return ["render_notebook", notebook, "--spec", {"label": "demo"} | settings, *output, "--files", *files]


@pytest.mark.parametrize(
    ("kind", "settings", "names"),
    [
        ("curves", {"titles": {}, "shown": 2}, ["curve.csv"]),
        ("prior_grid", {"rows": [1], "symbol": "s"}, ["prior.csv", "prior.npz"]),
        ("prior_violin", {"symbol": "s", "published": {}}, ["prior.csv"]),
        ("convergence", {"title": "Deblurring", "methods": {"tv": "TV"}}, ["iterations.csv"]),
        ("tuning", {"title": "Deblurring", "titles": ["TV"]}, ["grid.json"]),
    ],
)
def test_notebooks(run: Callable[..., None], files: Path, kind: str, settings: dict[str, Any], names: list[str]) -> None:
    run(*rendering(files, kind, settings, *(files / name for name in names)))
    assert {path.suffix for path in (files / "out").iterdir()} == {".pdf", ".png", ".html", ".ipynb"}
    assert "data:image/png" in (files / "out" / f"{kind}.html").read_text()


def test_figures_need_no_kernel_and_no_home_of_the_user(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch, files: Path, tmp_path: Path
) -> None:
    """A kernel named python3 of another Python comes first, and nothing can be written to the home."""
    kernel = tmp_path / "jupyter/kernels/python3/kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": ["false", "{connection_file}"], "display_name": "other", "language": "python"}))
    variables = {"HOME": "/dev/null", "JUPYTER_PATH": str(tmp_path / "jupyter"), "JUPYTER_PREFER_ENV_PATH": "0"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run(*rendering(files, "prior_violin", {"symbol": "s", "published": {}}, files / "prior.csv"))
    assert (files / "out/prior_violin.pdf").exists()


def test_files_in_a_list(run: Callable[..., None], files: Path, tmp_path: Path) -> None:
    results = files / "result.csv"
    arrays = {str(results): [str(files / "result.npz"), str(files / "measurements.npz")]}
    settings = {"title": "Deblurring", "methods": {"tv": "TV"}, "shown": [5], "arrays": arrays}
    (tmp_path / "files.txt").write_text(f"{results}\n")
    *arguments, _ = rendering(files, "comparison", settings)
    run(*arguments, "--list", tmp_path / "files.txt")
    assert (files / "out/comparison.pdf").exists()


def test_failures_are_named(refused: Callable[..., str], files: Path, tmp_path: Path) -> None:
    message = refused(*rendering(files, "prior_violin", {"symbol": "s", "published": {}}, files / "curve.csv"))
    assert re.search(r"prior_violin\.ipynb failed in cell \d+ with UserError: .*curve\.csv lacks the columns", message)
    assert not (files / "out/prior_violin.pdf").exists()
    assert "did you mean 'symbol'" in refused(
        *rendering(files, "prior_violin", {"symbols": "s", "published": {}}, files / "prior.csv")
    )
    assert "lacks 'symbol'" in refused(*rendering(files, "prior_violin", {}, files / "prior.csv"))
    assert "missing.ipynb can't be read" in refused(*rendering(files, "missing", {}, files / "prior.csv"))
    shutil.copy(ROOT / "workflow/notebooks/tuning.ipynb", tmp_path / "mine.ipynb")
    text = (tmp_path / "mine.ipynb").read_text().replace("pdf: str", "path: str")
    (tmp_path / "mine.ipynb").write_text(text)
    arguments = ["--spec", "{}", "--executed", tmp_path / "x.ipynb", "--pdf", tmp_path / "x.pdf"]
    assert "lacks the parameters pdf" in refused("render_notebook", tmp_path / "mine.ipynb", *arguments)


def test_no_figure_overwrites_what_it_shows(refused: Callable[..., str], files: Path) -> None:
    arguments = rendering(files, "prior_violin", {"symbol": "s", "published": {}}, files / "prior.csv")
    arguments[arguments.index("--pdf") + 1] = files / "prior.csv"
    assert "--pdf and --files name the same file" in refused(*arguments)
