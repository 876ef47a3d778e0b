import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator

import lpn
from lpn.checkpoints import made_with
from lpn.files import checksum
from lpn.formats import read_safetensors

Run = Callable[..., None]
Refused = Callable[..., str]
NETWORK = {"name": "lpn_28", "hidden": 3}


@pytest.fixture
def record(tmp_path: Path) -> list[object]:
    """The options of the record of a run with the model "digits"."""
    models = {"digits": {"data": "mnist", "sigma": 0.1}}
    provenance = {"run": "demo", "git": {"commit": "c0ffee"}, "config": {"models": models}}
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    (tmp_path / "certificate.json").write_text(json.dumps({"model": "digits", "passed": True}))
    return ["--provenance", tmp_path / "provenance.json", "--certificate", tmp_path / "certificate.json"]


def test_safetensors_with_what_is_known(run: Run, model: Callable[..., Path], record: list[object], tmp_path: Path) -> None:
    path, output = model(**NETWORK), tmp_path / "digits.safetensors"
    path.with_name("made_with.json").write_text('{"precision": "tf32"}')
    run("export", "--model", path, "--output", output, "--name", "digits", *record)
    _, metadata = read_safetensors(output)
    certificate = json.loads(metadata.pop("certificate"))
    assert certificate == {"model": "digits", "passed": True}
    assert json.loads(metadata.pop("network"))["hidden"] == 3
    known = {"model": "digits", "run": "demo", "data": "mnist", "sigma": "0.1", "commit": "c0ffee", "iteration": "0"}
    known |= {"made_with": '{"precision": "tf32"}', "model_sha256": checksum(path)}
    assert metadata == known
    images = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
    np.testing.assert_array_equal(lpn.prox(lpn.load_model(output), images), lpn.prox(lpn.load_model(path), images))
    run("export", "--model", output, "--output", tmp_path / "again.safetensors")
    spec = json.dumps({"source": str(output), "network": NETWORK})
    run("import_model", "--spec", spec, "--output", tmp_path / "imported/model.pt")
    assert made_with(tmp_path / "imported/model.pt")["precision"] == "tf32"


@pytest.mark.parametrize("size", [None, (30, 40)])
def test_onnx(run: Run, model: Callable[..., Path], size: tuple[int, int] | None, tmp_path: Path) -> None:
    path = model(**NETWORK)
    run("export", "--model", path, "--output", tmp_path / "f.onnx", *(["--size", *size] if size else []))
    x = torch.rand(1, 1, *(size or (28, 28)))
    (f,) = ReferenceEvaluator(str(tmp_path / "f.onnx")).run(["f"], {"x": x.numpy()})
    np.testing.assert_allclose(f, lpn.prox(lpn.load_model(path), x).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("faces", "has no model 'faces', but: digits. Set --name."), (None, "has no model 'lpn_28_3', but: digits")],
)
def test_records_of_other_models_are_refused(
    refused: Refused, model: Callable[..., Path], record: list[object], tmp_path: Path, name: Any, sentence: str
) -> None:
    options = ["--model", model(**NETWORK), "--output", tmp_path / "x.safetensors", *(["--name", name] if name else [])]
    assert sentence in refused("export", *options, *record)
    assert "is the certificate of 'digits', not of '" in refused("export", *options, *record[2:])
    assert "none.json can't be read" in refused("export", *options, "--certificate", tmp_path / "none.json")


def test_what_cannot_be_exported_is_refused(refused: Refused, model: Callable[..., Path], tmp_path: Path) -> None:
    path = model(name="dncnn", depth=3, hidden=2, channels=1)
    assert "takes images of any size: give --size." in refused("export", "--model", path, "--output", tmp_path / "f.onnx")
    message = refused("export", "--model", path, "--output", tmp_path / "f.pth")
    assert "f.pth must end in .safetensors or .onnx, which chooses the format." in message
    scalar = model(name="lpn_scalar", hidden=3)
    assert refused("export", "--model", scalar, "--output", tmp_path / "f.onnx", "--size", 4, 4)
