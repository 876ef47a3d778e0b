"""The command line of pairs, and of trainings on them."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpn.checkpoints import load_model
from lpn.networks.ar import AR

SPEC: dict[str, Any] = {
    "network": {"name": "ar", "channels": 3, "size": 16, "hidden": 1, "linear": 2},
    "pairs": {"operator": {"name": "blur", "sigma": 1.0}, "noise": 0.05},
    "seed": 0,
    "batch_size": 1,
    "phases": [{"loss": "critic", "steps": 4, "lr": 1e-3}],
}


@pytest.fixture
def data(data: Path) -> Path:
    """The prepared data set, with images to train and to validate."""
    images = np.load(data / "test.npy")
    np.save(data / "train.npy", images[:4])
    np.save(data / "validation.npy", images[4:])
    return data


def test_a_critic_is_trained_on_pairs(
    run: Callable[..., None], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, out = tmp_path / "pairs", tmp_path / "out/model.pt"
    run("make_pairs", "--spec", {"operator": SPEC["pairs"]["operator"]}, "--data", data, "--output", pairs)
    assert str(pairs / "train_start.npy") in capsys.readouterr().out  # the record of the job
    assert np.load(pairs / "train_y.npy").dtype == np.float32
    arguments = ["--spec", SPEC, "--data", data, "--pairs", pairs, "--output", out]
    run("train", *arguments, "--logging", {"every": 2, "validate_every": 2, "validation_images": 1})
    assert isinstance(load_model(out), AR)
    rows = list(csv.DictReader(out.with_name("training.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(float(row["validation_gradient"]) > 0 for row in rows)
    assert "steps waited for their batches" in capsys.readouterr().out


def test_settings_without_their_pairs(refused: Callable[..., str], data: Path, tmp_path: Path) -> None:
    arguments = ["--data", data, "--output", tmp_path / "model.pt"]
    assert "give both 'pairs' in the settings and --pairs" in refused("train", "--spec", SPEC, *arguments)
    error = refused("train", "--spec", SPEC, *arguments, "--pairs", tmp_path)
    assert f"the pairs in {tmp_path} can't be read" in error
    assert "scripts/make_pairs.py" in error


def test_operators_that_do_not_fit(refused: Callable[..., str], data: Path, tmp_path: Path) -> None:
    spec = {"operator": {"name": "compressed_sensing", "measurements": 300}}
    assert "the operator: measurements must be in 1..256" in refused(
        "make_pairs", "--spec", spec, "--data", data, "--output", tmp_path
    )
