"""A convex regulariser from a file, imported and used for tomography: it improves on filtered back-projection."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lpn.networks import build_network

ACR = {"name": "acr", "filters": 1, "layers": 1, "banks": 1, "bank_filters": 2}
TOMOGRAPHY = {"name": "tomography", "angles": 40, "detectors": 50, "extent": 16}
METHOD = {
    "solver": {"name": "gradient_descent", "weight": 10, "momentum": True},
    "regulariser": {"model": "variation"},
    "scale": 1 / 2000,
    "iterations": 60,
}


@pytest.fixture
def variation(tmp_path: Path) -> Path:
    """A state dict of an ACR that is about the total variation: two filters are differences, and the ICNN is 0."""
    network = build_network(ACR)
    state = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    state["sfb.conv.0.weight"][:, 0, 3, 3] = 1
    state["sfb.conv.0.weight"][[0, 1], 0, [3, 2], [2, 3]] = -1
    state["sfb.penalty"][:] = -7.6  # softplus: 5e-4
    state["l2_net.l2_penalty"][:] = -20
    torch.save(state, tmp_path / "variation.pt")
    return tmp_path / "variation.pt"


def test_tomography_by_an_imported_regulariser(run: Callable[..., None], variation: Path, tmp_path: Path) -> None:
    rows, columns = np.mgrid[:32, :32] - 15.5
    phantom = 0.2 + 0.6 * (rows**2 + 2 * columns**2 < 150) - 0.4 * ((rows - 3) ** 2 + columns**2 < 12)
    np.save(tmp_path / "test.npy", phantom[None, None].astype(np.float32))
    model, m = tmp_path / "model/model.pt", tmp_path / "m.npz"
    run("import_model", "--spec", {"source": str(variation), "network": ACR}, "--output", model)
    run("certify", "--spec", {"points": 2}, "--model", model, "--data", tmp_path, "--output", tmp_path / "certificate.json")
    assert json.loads((tmp_path / "certificate.json").read_text())["certified"] == "convex"
    measured = {"split": "test", "first": 0, "images": 1, "operator": TOMOGRAPHY, "noise": 1, "seed": 0}
    run("measure", "--spec", measured, "--data", tmp_path, "--output", m)
    files = ["--images", tmp_path / "i.csv", "--iterations", tmp_path / "it.csv", "--arrays", tmp_path / "x.npz"]
    spec = {"operator": TOMOGRAPHY, "seed": 0, "clip": True, "method": METHOD}
    run("reconstruct", "--spec", spec, "--measurement", m, "--model", model, *files)
    steps = pd.read_csv(tmp_path / "it.csv")
    assert steps.psnr.iloc[-1] > steps.psnr.iloc[0] + 5
    assert steps.psnr.iloc[-1] > steps.psnr.max() - 0.5
    assert steps.objective.iloc[-1] < steps.objective.iloc[1]
    assert steps[["data_term", "regulariser", "objective"]].iloc[1:].notna().all(axis=None)
