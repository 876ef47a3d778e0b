"""Runs scripts in this process, and makes the small files that they read."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT

from lpn.checkpoints import save_model
from lpn.files import WRITTEN
from lpn.networks import build_network

BLUR = {"name": "blur", "sigma": 1.0}
MEASUREMENT = {"split": "test", "first": 0, "images": 3, "operator": BLUR, "noise": 0.05, "seed": 7}
TV = {"name": "tv", "weight": 0.05}
ADMM = {"solver": {"name": "admm", "rho": 0.1}, "prox": TV, "scale": 0.5, "iterations": 3}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return (script, *arguments) -> None, which runs a script in this process; specs are given as dictionaries."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))

    def run(script: str, *arguments: object) -> None:
        WRITTEN.clear()
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
    """Return (network settings) -> model.pt of random weights."""

    def make(**settings: Any) -> Path:
        torch.manual_seed(0)
        network = build_network(settings)
        network.project()
        path = tmp_path / "_".join(map(str, settings.values())) / "model.pt"
        path.parent.mkdir()
        save_model(path, network, 0, {}, 0.0)
        return path

    return make


def spec_of(method: dict[str, Any], **changes: object) -> dict[str, Any]:
    """Return the settings of a reconstruction."""
    return {"operator": BLUR, "seed": 7, "clip": False, "method": method} | changes


def outputs(folder: Path) -> list[object]:
    """Return the options of the files that reconstruct writes."""
    return ["--images", folder / "images.csv", "--iterations", folder / "iterations.csv", "--arrays", folder / "x.npz"]


def cut(path: Path) -> None:
    """Cut a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace(path: Path, **arrays: np.ndarray | None) -> None:
    """Write an .npz file again with some arrays replaced, or left out if None."""
    with np.load(path) as file:
        merged = {**file, **arrays}
    np.savez(path, **{name: array for name, array in merged.items() if array is not None})
