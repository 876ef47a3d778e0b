"""Models that were trained elsewhere: from a file, a URL or Google Drive."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT

from lpn.checkpoints import load_model, made_with, save_model
from lpn.networks import LPN

NETWORK: dict[str, Any] = {"name": "lpn_28", "hidden": 8}


@pytest.fixture
def trained(tmp_path: Path, mnist_network: LPN, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published checkpoint, without a description of its network beside it."""
    monkeypatch.setenv("LPN_DOWNLOADS", str(tmp_path / "downloads"))
    path = tmp_path / "elsewhere/mnist.pt"
    path.parent.mkdir()
    save_model(path, mnist_network, 7, {"state": {}, "param_groups": []}, 0.5)
    path.with_name("model_config.json").unlink()
    return path


def import_model(
    source: str, output: Path, network: dict[str, Any] = NETWORK, sha256: str | None = None
) -> subprocess.CompletedProcess[str]:
    spec = json.dumps({"source": source, "network": network, "sha256": sha256})
    command = [sys.executable, str(ROOT / "scripts/import_model.py"), "--spec", spec, "--output", str(output)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_imported_model_is_the_same(trained: Path, tmp_path: Path, mnist_network: LPN) -> None:
    (tmp_path / "made_with.json").write_text('{"precision": "bf16"}')  # of a training under the same name
    run = import_model(str(trained), tmp_path / "model.pt")
    assert run.returncode == 0, run.stderr
    assert made_with(tmp_path / "model.pt")["precision"] is None  # which the file does not say
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(load_model(tmp_path / "model.pt")(x), mnist_network(x))


def test_imported_model_keeps_its_precision(trained: Path, tmp_path: Path) -> None:
    trained.with_name("made_with.json").write_text('{"precision": "bf16", "torch": "2"}')
    assert import_model(str(trained), tmp_path / "model.pt").returncode == 0
    assert made_with(tmp_path / "model.pt") == {"precision": "bf16", "torch": "2"}


def test_import_from_a_url(trained: Path, server: tuple[str, Path], tmp_path: Path, mnist_network: LPN) -> None:
    address, folder = server
    (folder / "mnist.pt").write_bytes(trained.read_bytes())
    assert import_model(f"{address}mnist.pt", tmp_path / "model.pt").returncode == 0
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(load_model(tmp_path / "model.pt")(x), mnist_network(x))
    run = import_model(f"{address}faces.pt", tmp_path / "faces/model.pt")
    assert run.returncode == 1
    assert "faces.pt could not be downloaded" in run.stderr


def test_faults_are_named(trained: Path, tmp_path: Path) -> None:
    run = import_model(str(trained.with_name("minst.pt")), tmp_path / "model.pt")
    assert re.search(r"minst\.pt does not exist; its folder has: .*mnist\.pt", run.stderr)
    run = import_model(str(trained), tmp_path / "model.pt", {"name": "lpn_29"})
    assert "error: the settings: key 'network': unknown network 'lpn_29'; did you mean 'lpn_28'?" in run.stderr
    assert not (tmp_path / "model.pt").exists()


def test_settings_that_the_network_was_not_trained_with_are_refused(trained: Path, tmp_path: Path) -> None:
    """The weights of another beta or alpha fit as well, and make another function."""
    trained.with_name("model_config.json").write_text(json.dumps(NETWORK | {"beta": 7.0}))
    run = import_model(str(trained), tmp_path / "out/model.pt")
    assert run.returncode == 1
    assert re.search(r"'network\.beta' is 10\.0.*model_config\.json the network was trained with\s+7\.0", run.stderr)
    assert import_model(str(trained), tmp_path / "out/model.pt", NETWORK | {"beta": 7.0}).returncode == 0


def test_a_checksum(trained: Path, tmp_path: Path) -> None:
    right = hashlib.sha256(trained.read_bytes()).hexdigest()
    assert import_model(str(trained), tmp_path / "model.pt", sha256=right).returncode == 0
    run = import_model(str(trained), tmp_path / "other/model.pt", sha256="0" * 64)
    assert f"mnist.pt has the SHA-256 {right}, not {'0' * 64} as its key 'sha256' says" in run.stderr
    assert not (tmp_path / "other/model.pt").exists()
    assert "key 'sha256' is '0'" in import_model(str(trained), tmp_path / "x/model.pt", sha256="0").stderr


def test_a_bare_state_dict(trained: Path, tmp_path: Path, mnist_network: LPN) -> None:
    torch.save({f"module.{name}": value for name, value in mnist_network.state_dict().items()}, trained)
    run = import_model(str(trained), tmp_path / "model.pt")
    assert run.returncode == 0, run.stderr
    assert torch.load(tmp_path / "model.pt", weights_only=True)["iteration"] == 0
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(load_model(tmp_path / "model.pt")(x), mnist_network(x))


def test_a_safetensors_file_knows_its_settings(tmp_path: Path, mnist_network: LPN) -> None:
    save_model(tmp_path / "mnist.safetensors", mnist_network, 7)
    run = import_model(str(tmp_path / "mnist.safetensors"), tmp_path / "out/model.pt", NETWORK | {"beta": 7.0})
    assert re.search(
        r"'network\.beta' is 7\.0, but by .*mnist\.safetensors the network was trained\s+with 10\.0", run.stderr
    )
    assert import_model(str(tmp_path / "mnist.safetensors"), tmp_path / "out/model.pt").returncode == 0
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(load_model(tmp_path / "out/model.pt")(x), mnist_network(x))


def test_other_architecture_and_nan_are_refused(trained: Path, tmp_path: Path) -> None:
    run = import_model(str(trained), tmp_path / "out/model.pt", NETWORK | {"hidden": 4})
    assert run.returncode == 1
    assert "another architecture" in run.stderr
    checkpoint = torch.load(trained, weights_only=True)
    checkpoint["model_state_dict"]["lin.1.weight"][0] = torch.nan
    torch.save(checkpoint, trained)
    run = import_model(str(trained), tmp_path / "out/model.pt")
    assert "parameter lin.1.weight holds NaN" in run.stderr
    assert not (tmp_path / "out/model.pt").exists()


def test_a_folder_of_another_model_is_left_alone(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/model.pt").write_bytes(b"of a training")
    command = [sys.executable, str(ROOT / "scripts/import_model.py"), "--output", str(tmp_path / "mine/other.pt")]
    spec = json.dumps({"source": str(trained), "network": NETWORK})
    result = subprocess.run([*command, "--spec", spec], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "model.pt lies in the folder of the output" in result.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["model.pt"]
