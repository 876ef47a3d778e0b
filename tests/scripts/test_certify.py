import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BUNDLED, golden_network

from lpn.checkpoints import save_model
from lpn.networks import LPN, build_network
from lpn.networks.dncnn import DnCNNSettings

SPEC = {"points": 2, "lanczos_steps": 5, "inversion_tolerance": 1e-3, "seed": 0}
GRID = {"low": -3, "high": 3}


def save(folder: Path, model: torch.nn.Module) -> Path:
    save_model(folder / "model.pt", model, 7, {"state": {}, "param_groups": []}, 0.5)
    return folder / "model.pt"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of prepared test images, larger than the network's."""
    np.save(tmp_path / "test.npy", np.random.default_rng(0).integers(0, 256, (3, 1, 30, 32)).astype(np.uint8))
    return tmp_path


def test_images(run: Callable[..., None], images: Path, mnist_network: LPN) -> None:
    model, output = save(images, mnist_network), images / "certificate.json"
    run("certify", "--spec", SPEC, "--name", "mnist", "--model", model, "--data", images, "--output", output)
    certificate = json.loads(output.read_text())
    assert certificate["model"] == "mnist"
    assert certificate["passed"]
    assert certificate["failures"] == []
    assert certificate["precision"] is None  # an imported model

    (images / "made_with.json").write_text('{"precision": "bf16"}')
    run("certify", "--spec", SPEC, "--name", "mnist", "--model", model, "--data", images, "--output", output)
    assert json.loads(output.read_text()) == certificate | {"precision": "bf16"}


def test_convex_regularisers(run: Callable[..., None], refused: Callable[..., str], images: Path) -> None:
    """They are examined at the centres of images, and the settings of LPNs do not matter."""
    network = build_network({"name": "acr", "filters": 2, "layers": 1, "banks": 1, "bank_filters": 1})
    model, output = save(images, network), images / "certificate.json"
    for side in (16, 500):
        run("certify", "--spec", SPEC | {"side": side}, "--model", model, "--data", images, "--output", output)
        certificate = json.loads(output.read_text())
        assert (certificate["passed"], certificate["certified"]) == (True, "convex")
    with torch.no_grad():
        network.constrained_weights()[0].neg_()
    error = refused("certify", "--spec", SPEC, "--model", save(images, network), "--data", images)
    assert "is not certified as convex: the smallest constrained weight is -" in error
    critic = save(images / "critic", build_network({"name": "ar", "size": 16, "hidden": 1}))
    assert "is a network 'ar'; only" in refused("certify", "--spec", SPEC, "--model", critic, "--data", images)


def test_numbers(run: Callable[..., None], tmp_path: Path) -> None:
    model = save(tmp_path, golden_network(BUNDLED / "net_laplacian.npz"))
    run("certify", "--spec", SPEC | GRID, "--model", model, "--output", tmp_path / "certificate.json")
    assert json.loads((tmp_path / "certificate.json").read_text())["passed"]


def test_failures_end_the_job(refused: Callable[..., str], images: Path, mnist_network: LPN) -> None:
    with torch.no_grad():
        mnist_network.constrained_weights()[-1].neg_()
    model = save(images, mnist_network)
    error = refused("certify", "--spec", SPEC, "--model", model, "--data", images, "--output", images / "no.json")
    assert "is not certified as a proximal operator: the smallest constrained weight" in error
    assert not (images / "no.json").exists()


def test_what_does_not_fit_is_refused(refused: Callable[..., str], images: Path, mnist_network: LPN) -> None:
    model = save(images, mnist_network)
    assert "needs --data" in refused("certify", "--spec", SPEC, "--model", model)
    assert "and no 'low' and 'high'" in refused("certify", "--spec", SPEC | GRID, "--model", model, "--data", images)
    assert "and no 'low' and 'high'" in refused("certify", "--spec", SPEC | {"low": 1}, "--model", model, "--data", images)
    np.save(images / "test.npy", np.zeros((2, 1, 20, 30), np.uint8))
    assert "28 don't fit into images of 20x30" in refused("certify", "--spec", SPEC, "--model", model, "--data", images)
    model = save(images / "numbers", golden_network(BUNDLED / "net_laplacian.npz"))
    assert "needs 'low' and 'high'" in refused("certify", "--spec", SPEC, "--model", model)
    assert "needs 'low' and 'high'" in refused("certify", "--spec", SPEC | {"high": 1}, "--model", model)
    backwards = SPEC | {"low": 1, "high": -1}
    assert "'low' is 1, not below 'high', -1" in refused("certify", "--spec", backwards, "--model", model)
    model = save(images / "dncnn", DnCNNSettings(depth=2, hidden=2).build())
    assert "is a network 'dncnn'" in refused("certify", "--spec", SPEC, "--model", model, "--data", images)
