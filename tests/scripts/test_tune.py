import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from .conftest import ADMM, outputs, spec_of

Run = Callable[..., None]
Model = Callable[..., Path]
FACE = ADMM | {"prox": {"model": "face"}}


@pytest.fixture
def exploding(model: Model) -> Path:
    """A network whose outputs grow without bounds."""
    path = model(name="dncnn", channels=3, hidden=4, depth=3)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["model_state_dict"]["convolutions.2.weight"] *= 1e30
    torch.save(checkpoint, path)
    return path


def test_divergence_is_named_and_a_grid_search_goes_on(
    run: Run, refused: Callable[..., str], measurement: Path, exploding: Path, tmp_path: Path
) -> None:
    spec = spec_of(FACE | {"iterations": 50})
    arguments = ["--measurement", measurement, "--model", exploding]
    message = refused("reconstruct", "--spec", spec, *arguments, *outputs(tmp_path))
    assert re.search("diverged: iterate [2-9] is not finite", message)
    assert not (tmp_path / "images.csv").exists()

    spec["points"] = [{"iterations": 50}, {"iterations": 1}]
    run("tune", "--spec", spec, *arguments, "--output", tmp_path / "scores.json")
    run("choose", tmp_path / "scores.json", "--output", tmp_path / "tuned.json")
    chosen = json.loads((tmp_path / "tuned.json").read_text())
    assert chosen["parameters"] == spec["points"][1]
    assert chosen["grid"][0]["psnr"] is None
    assert np.isfinite(chosen["grid"][1]["psnr"])


def test_a_psnr_that_overflows_is_none(run: Run, measurement: Path, exploding: Path, tmp_path: Path) -> None:
    spec = spec_of(FACE | {"solver": "pgd"}) | {"points": [{"iterations": 1}]}
    run("tune", "--spec", spec, "--measurement", measurement, "--model", exploding, "--output", tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text()) == [{"parameters": {"iterations": 1}, "psnr": None}]


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"rho": 0.1}, "the method: rho is no setting of the method"),
        ({"solver.rho": -1}, "the method: key 'rho' is -1"),
        ({"solver.rho": "large"}, "'points.0.solver.rho': must be a finite number, not 'large'"),
    ],
)
def test_bad_points_are_refused(
    refused: Callable[..., str], measurement: Path, tmp_path: Path, point: dict[str, object], message: str
) -> None:
    arguments = ["--measurement", measurement, "--output", tmp_path / "scores.json"]
    assert message in refused("tune", "--spec", spec_of(ADMM, points=[point]), *arguments)
