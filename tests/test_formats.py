"""Models in safetensors and ONNX are the same models, in the readers of those formats."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from safetensors.torch import load_file, save_file

import lpn
from lpn.checkpoints import load_model, read_checkpoint, save_model
from lpn.denoisers import PatchLPN
from lpn.errors import UserError
from lpn.formats import export_onnx, read_safetensors, write_safetensors
from lpn.networks import LPN, Network, build_network

SETTINGS: dict[str, dict[str, Any]] = {
    "images": {"name": "lpn_28", "hidden": 4},
    "numbers": {"name": "lpn_scalar", "hidden": 5, "layers": 2, "alpha": 0.1},
    "unconstrained": {"name": "dncnn", "channels": 1, "depth": 3, "hidden": 4},
}


def small(kind: str) -> Network:
    torch.manual_seed(0)
    return build_network(SETTINGS[kind]).eval().requires_grad_(False)


def test_safetensors_hold_weights_and_settings(tmp_path: Path, mnist_network: LPN) -> None:
    path = tmp_path / "model.safetensors"
    lpn.save_model(path, mnist_network, 7)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
    again = lpn.load_model(path, "cpu")
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(again(x), mnist_network(x))
    assert read_checkpoint(path)["iteration"] == 7
    assert load_file(path).keys() == mnist_network.state_dict().keys()
    _, metadata = read_safetensors(path)
    assert json.loads(metadata["network"]) == mnist_network.config


def test_metadata_are_text(tmp_path: Path) -> None:
    write_safetensors(
        tmp_path / "m.safetensors", small("numbers"), {"data": "mnist", "sigma": 0.1, "certificate": {"a": [1]}}
    )
    _, metadata = read_safetensors(tmp_path / "m.safetensors")
    assert metadata.pop("network")
    assert metadata == {"data": "mnist", "sigma": "0.1", "certificate": '{"a": [1]}'}


def test_other_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(UserError, match=r"model\.safetensors, which describes .*No such file"):
        load_model(path)
    save_model(path, small("images"))
    with pytest.raises(
        UserError, match=r"model\.safetensors is a checkpoint of another architecture: parameter lin\.0\.weight"
    ):
        load_model(path, SETTINGS["numbers"])
    content = path.read_bytes()
    for part in (content[:4], content[:200], content[:-10], b""):
        path.write_bytes(part)
        with pytest.raises(
            UserError, match=r"model\.safetensors is no whole \.safetensors file \(.*\)\. Export or download"
        ):
            load_model(path)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match=r"can't be read: its metadata lack 'network', the settings of the network"):
        load_model(path)
    save_file({"weight": torch.zeros(2)}, path, {"network": json.dumps(SETTINGS["images"]), "iteration": "many"})
    with pytest.raises(UserError, match="another architecture"):
        load_model(path)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (small("images"), (2, 1, 28, 28)),
        (PatchLPN(small("images"), stride=14), (1, 1, 40, 45)),  # pyright: ignore[reportArgumentType]
        (small("numbers"), (5, 1)),
        (small("unconstrained"), (1, 1, 11, 12)),
    ],
    ids=["images", "patches", "numbers", "unconstrained"],
)
def test_onnx_gives_the_same(model: Network, shape: tuple[int, ...], tmp_path: Path) -> None:
    export_onnx(model, tmp_path / "model.onnx", shape)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    x = torch.rand(shape)
    (f,) = ReferenceEvaluator(str(tmp_path / "model.onnx")).run(["f"], {"x": x.numpy()})
    np.testing.assert_allclose(f, model(x).detach().numpy(), atol=1e-6)


def test_onnx_of_other_shapes_or_without_its_packages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"takes inputs of shape \(N, 1, 28, 28\), not \(1, 3, 28, 28\)"):
        export_onnx(small("images"), tmp_path / "model.onnx", (1, 3, 28, 28))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"needs the package onnxscript .* Install it: pip install --editable '.\[onnx\]'"):
        export_onnx(small("images"), tmp_path / "model.onnx", (1, 1, 28, 28))
    assert not [*tmp_path.iterdir()]
