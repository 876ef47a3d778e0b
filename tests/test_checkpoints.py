import gzip
import io
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import BUNDLED, build_lpn, golden_network

from lpn.checkpoints import KEYS, load_model, load_state, made_with, read_checkpoint, read_settings, save_model
from lpn.errors import UserError
from lpn.formats import write_safetensors
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
        with pytest.raises(UserError, match=r"is (truncated or corrupt|not a safe checkpoint)"):
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
    with pytest.raises(UserError, match="is a folder"):
        read_checkpoint(tmp_path)
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


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.module."])
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state}, lambda state: {"net": state}])
def test_checkpoints_of_other_programs(
    tmp_path: Path, mnist_network: LPN, prefix: str, wrap: Callable[[object], dict[str, object]]
) -> None:
    state = {f"{prefix}{name}": value for name, value in mnist_network.state_dict().items()}
    torch.save(wrap(state), tmp_path / "model.pt")
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(load_model(tmp_path / "model.pt", mnist_network.config)(x), mnist_network(x))
    checkpoint = read_checkpoint(tmp_path / "model.pt")
    assert (checkpoint["iteration"], checkpoint["optimizer_state_dict"], str(checkpoint["loss"])) == (0, {}, "nan")


def test_a_network_may_have_a_part_that_is_named_as_a_wrapper() -> None:
    model = torch.nn.ModuleDict({"module": torch.nn.Linear(1, 1)})
    load_state(model, model.state_dict(), "model.pt")  # type: ignore[arg-type]
    load_state(model, {f"module.{name}": value for name, value in model.state_dict().items()}, "model.pt")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float64(0.1), 0.1),
        (np.float32(0.5), 0.5),
        (np.int64(-7), -7),
        (np.bool_(True), True),
        (np.array(2.5, ">f8")[()], 2.5),
        (np.array([3], ">i4")[0], 3),
    ],
)
@pytest.mark.parametrize("numpy", [b"numpy._core", b"numpy.core"])
def test_scalars_of_numpy_are_numbers(tmp_path: Path, value: object, plain: object, numpy: bytes) -> None:
    """As NumPy 2 and NumPy 1 write them."""
    torch.save(dict.fromkeys(KEYS, value) | {"model_state_dict": {}, "best": [value]}, tmp_path / "new.pt")
    with zipfile.ZipFile(tmp_path / "new.pt") as new, zipfile.ZipFile(tmp_path / "model.pt", "w") as old:
        for name in new.namelist():
            old.writestr(name, new.read(name).replace(b"numpy._core", numpy))
    checkpoint = read_checkpoint(tmp_path / "model.pt")
    assert (checkpoint["loss"], checkpoint["best"]) == (plain, [plain])
    assert type(checkpoint["loss"]) is type(plain)


class Pickled:
    """Pickled as a call of a function."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


SCALAR = type(np.float64(0)).__reduce__(np.float64(0))[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()], object),
        np.str_("text"),
        Pickled(SCALAR, (np.dtype("O"), b"12345678")),
        Pickled(SCALAR, (np.dtype("f8"), b"123")),
        Pickled(SCALAR, (7, b"12345678")),
        Pickled(np.dtype, ("f8",), 7),
        Pickled(np.dtype, ([("a", "O")],)),
    ],
)
def test_of_numpy_only_numbers_are_read(tmp_path: Path, value: object) -> None:
    torch.save({"model_state_dict": {}, "loss": value}, tmp_path / "model.pt")
    with pytest.raises(UserError) as info:
        read_checkpoint(tmp_path / "model.pt")
    assert not re.search("weights_only|safe_globals|trust", str(info.value))


@pytest.mark.parametrize("change", [lambda value: value.to("meta"), lambda value: value.to_sparse()])
def test_weights_that_are_no_plain_tensors(
    tmp_path: Path, mnist_network: LPN, change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    torch.save({name: change(value) for name, value in mnist_network.state_dict().items()}, tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"model\.pt holds sparse, quantised or empty weights"):
        load_model(tmp_path / "model.pt", mnist_network.config)


def safetensors(state: dict[str, torch.Tensor]) -> bytes:
    """Return a state dict as a safetensors file, with a header as long as '<' is as a number."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, value in state.items():
        content = value.contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": [*value.shape], "data_offsets": [len(data), len(data) + len(content)]}  # type: ignore[dict-item]
        data += content
    text = json.dumps(header)
    text += " " * ((ord("<") - len(text)) % 256)
    return len(text).to_bytes(8, "little") + text.encode() + data


def test_safetensors(tmp_path: Path, mnist_network: LPN) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(mnist_network.state_dict()))
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(load_model(path, mnist_network.config)(x), mnist_network(x))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="is no whole .safetensors file"):
        read_checkpoint(path)


def archive(**files: str) -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>Google Drive can't scan this file", "is a web page, not a model.*in a browser"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "is a Git LFS pointer.*git lfs pull"),
        (b'{"message": "Not Found"}', "is JSON text"),
        (gzip.compress(b"model", mtime=0), "is packed by gzip"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (archive(**{"model.pt": "", "readme": ""}), r"is an archive that holds model\.pt, readme, not a checkpoint"),
        (archive(), "is an archive that holds nothing"),
        (archive(**{"m/data.pkl": "", "m/constants.pkl": ""}), r"is a TorchScript program.*Save its state_dict"),
        (b"7z\xbc\xaf'\x1c", "is not a safe checkpoint: it is damaged, or no file of torch.save"),
        (pickle.dumps({"weight": [1.0]}), "is not a safe checkpoint: it is damaged, or no file of torch.save"),
        (os.urandom(999), r"is (truncated or corrupt|not a safe checkpoint)"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(UserError, match=rf"model\.pt {message}") as info:
        read_checkpoint(tmp_path / "model.pt")
    assert not re.search("weights_only|safe_globals|trust|\n", str(info.value))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(2), "it holds a Tensor, not a dictionary of tensors"),
        ({}, "Its keys are: none"),
        ({1: torch.ones(2)}, "Its keys are: 1"),
        ({"epoch": 3, "weights": [torch.ones(2)]}, "Its keys are: epoch, weights"),
        ({"net": {"w": torch.ones(2)}, "ema": {"w": torch.ones(2)}}, "Its keys are: net, ema"),
        *((dict.fromkeys(KEYS) | {"model_state_dict": state}, "dictionary of tensors") for state in (None, [], {"w": 1.0})),
        (
            torch.nn.Linear(1, 1),
            r"it holds torch\.nn\.modules\.linear\.Linear, not only .*Save a state_dict",
        ),
    ],
)
def test_foreign_content_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(UserError, match=message) as info:
        read_checkpoint(tmp_path / "model.pt")
    assert not re.search("weights_only|safe_globals|trust|\n", str(info.value))


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_pickled_payloads_are_refused_and_not_run(
    tmp_path: Path, write: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write({"model_state_dict": Pickled(os.system, ("touch pwned",))}, tmp_path / "model.pt")
    with pytest.raises(UserError, match="not a safe checkpoint"):
        read_checkpoint(tmp_path / "model.pt")
    assert not (tmp_path / "pwned").exists()


def test_safetensors_under_other_names(tmp_path: Path, mnist_network: LPN) -> None:
    write_safetensors(tmp_path / "a.SAFETENSORS", mnist_network, {})
    assert read_checkpoint(tmp_path / "a.SAFETENSORS")["model_state_dict"].keys() == mnist_network.state_dict().keys()
    (tmp_path / "a.SAFETENSORS").rename(tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"a\.pt is in the format safetensors\. Give it a name that ends with \.safetensors"):
        read_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff"])
def test_a_damaged_note_of_the_arithmetic_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "made_with.json").write_bytes(content)
    with pytest.raises(UserError, match=r"made_with\.json is damaged: .*Delete it"):
        made_with(tmp_path / "model.pt")
