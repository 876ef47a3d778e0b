import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import BUNDLED, build_lpn, golden_network

from lpn.checkpoints import KEYS, load_model, read_checkpoint, read_settings, save_model
from lpn.errors import UserError
from lpn.networks import LPN
from lpn.networks.lpn_scalar import LpnScalar


@pytest.fixture
def saved(tmp_path: Path, mnist_network: LPN) -> Path:
    path = tmp_path / "model.pt"
    save_model(path, mnist_network, 7, {"state": {}, "param_groups": []}, 0.5)
    return path


def test_written_in_the_published_format(saved: Path, mnist_network: LPN) -> None:
    checkpoint = torch.load(saved, weights_only=True)
    assert tuple(checkpoint) == KEYS
    assert checkpoint["iteration"] == 7
    assert list(checkpoint["model_state_dict"])[:2] == ["lin.0.weight", "lin.1.weight"]
    assert "res.3.bias" in checkpoint["model_state_dict"]
    loaded = load_model(saved)
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(loaded(x), mnist_network(x))


def test_published_file_loads_with_the_network_of_the_config(tmp_path: Path) -> None:
    model = golden_network(BUNDLED / "net_laplacian.npz")
    state = {"iteration": 1, "model_state_dict": model.state_dict(), "optimizer_state_dict": {}, "loss": 0.0}
    torch.save(state, tmp_path / "model.pt")
    for settings in (LpnScalar(), {"name": "lpn_scalar"}):
        loaded = load_model(tmp_path / "model.pt", settings)
        assert torch.equal(loaded(torch.ones(1, 1)), model(torch.ones(1, 1)))


def test_another_architecture_is_named(saved: Path) -> None:
    saved.with_name("model_config.json").write_text(json.dumps({"name": "lpn_28", "hidden": 16}))
    with pytest.raises(
        UserError, match=r"model\.pt is a checkpoint of another architecture.*lin\.0\.weight.*\(8, 1, 3, 3\)"
    ):
        load_model(saved)
    with pytest.raises(UserError, match=r"another architecture"):
        load_model(saved, build_lpn({"name": "lpn_scalar"}).config)


def test_truncated_file_is_named(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in (*range(1000, len(whole), len(whole) // 15), len(whole) - 1):
        saved.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"model\.pt is (truncated or corrupt|not a safe checkpoint)"):
            load_model(saved)
    saved.write_bytes(b"")
    with pytest.raises(UserError, match=r"model\.pt"):
        load_model(saved)


def test_damaged_weights_are_named(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 1  # among the weights: torch.load does not see it
    saved.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.pt is truncated or corrupt"):
        load_model(saved)


def test_missing_files_are_named(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none.pt does not exist"):
        read_checkpoint(tmp_path / "none.pt")
    saved.with_name("model_config.json").unlink()
    with pytest.raises(UserError, match="model_config.json"):
        load_model(saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "can't be read"),
        ("[]", "must be a name, or a mapping with a name"),
        ('{"name": "lpn_29"}', "unknown network 'lpn_29'; did you mean 'lpn_28'"),
        ('{"name": "lpn_28", "hidden": "many"}', "hidden"),
    ],
)
def test_unfit_descriptions_are_named(saved: Path, content: str, message: str) -> None:
    saved.with_name("model_config.json").write_text(content)
    with pytest.raises(UserError, match=rf"model_config\.json, which describes the network of .*{message}"):
        load_model(saved)
    with pytest.raises(UserError):
        read_settings(saved)


def test_settings_are_read_back(saved: Path, mnist_network: LPN) -> None:
    assert read_settings(saved).model_dump() == mnist_network.config


def test_foreign_content_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(2)}, tmp_path / "model.pt")
    with pytest.raises(UserError, match="must hold the keys"):
        read_checkpoint(tmp_path / "model.pt")
    for state in (None, [torch.ones(2)], {"weight": 1.0}):
        torch.save(dict.fromkeys(KEYS) | {"model_state_dict": state}, tmp_path / "model.pt")
        with pytest.raises(UserError, match="'model_state_dict' must be a dictionary of tensors"):
            read_checkpoint(tmp_path / "model.pt")


class Payload:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_pickled_payloads_are_refused_and_not_run(
    tmp_path: Path, write: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write({"model_state_dict": Payload()}, tmp_path / "model.pt")
    with pytest.raises(UserError, match="not a safe checkpoint"):
        read_checkpoint(tmp_path / "model.pt")
    assert not (tmp_path / "pwned").exists()
