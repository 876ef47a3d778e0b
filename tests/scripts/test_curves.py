"""Curves of scalar models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import BUNDLED, golden_network

from lpn import tables
from lpn.checkpoints import save_model

GRID = {"model": "net", "low": -1, "high": 1, "points": 5}


@pytest.fixture
def scalar_model(tmp_path: Path) -> Path:
    """The published code's scalar network, trained on Laplace samples."""
    path = tmp_path / "scalar/model.pt"
    path.parent.mkdir()
    save_model(path, golden_network(BUNDLED / "net_laplacian.npz"), 0, {}, 0.0)
    return path


def test_curves_of_a_model(run: Callable[..., None], scalar_model: Path, tmp_path: Path) -> None:
    run("curves", "--spec", GRID | {"sigma": 0.5}, "--model", scalar_model, "--output", tmp_path / "a.csv")
    curves = pd.read_csv(tmp_path / "a.csv")
    assert set(curves) == {*tables.CURVES, *tables.TRUTH}
    assert list(curves.x) == [-1, -0.5, 0, 0.5, 1]
    assert list(curves.prox_true) == [-0.75, -0.25, 0, 0.25, 0.75]
    assert list(curves.regulariser_true) == [0.25, 0.125, 0, 0.125, 0.25]
    np.testing.assert_allclose(curves[["regulariser", "potential"]].min(), 0, atol=1e-12)
    assert curves.residual.max() <= 1e-8

    run("curves", "--spec", GRID, "--model", scalar_model, "--output", tmp_path / "b.csv")
    unknown = pd.read_csv(tmp_path / "b.csv")
    assert list(unknown) == list(tables.CURVES)
    pd.testing.assert_frame_equal(unknown, curves.drop(columns=list(tables.TRUTH)))


def test_the_minimum_is_over_the_grid_and_zero(run: Callable[..., None], scalar_model: Path, tmp_path: Path) -> None:
    tables = {}
    for low in (-1, 0.5):
        run("curves", "--spec", GRID | {"low": low}, "--model", scalar_model, "--output", tmp_path / "a.csv")
        tables[low] = pd.read_csv(tmp_path / "a.csv").set_index("x").regulariser
    np.testing.assert_allclose(tables[0.5][1], tables[-1][1], atol=0.05)
    assert tables[0.5].min() > 0


def test_bad_models_and_grids_are_refused(
    refused: Callable[..., str], scalar_model: Path, model: Callable[..., Path], tmp_path: Path
) -> None:
    output = ["--output", tmp_path / "a.csv"]
    message = refused("curves", "--spec", GRID | {"high": 1e6}, "--model", scalar_model, *output)
    assert "can't be inverted at x = 1e+06" in message
    assert "'low' is -1, not below" in refused("curves", "--spec", GRID | {"high": -1}, "--model", scalar_model, *output)
    assert "'points' is 1" in refused("curves", "--spec", GRID | {"points": 1}, "--model", scalar_model, *output)
    other = model(name="lpn_28", hidden=2)
    assert "no learned proximal network of numbers" in refused("curves", "--spec", GRID, "--model", other, *output)
    assert not (tmp_path / "a.csv").exists()
