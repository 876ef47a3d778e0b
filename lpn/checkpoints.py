"""Model files, in the format of the published checkpoints, or in safetensors.

`model.pt` holds `iteration, model_state_dict, optimizer_state_dict, loss`; `model_config.json` beside it holds the
settings of the network. Files are read with `weights_only=True`: a pickled payload is refused, never run.
`model.safetensors` holds weights and settings, see `lpn.formats`. The suffix tells which it is.
"""

import errno
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from lpn.errors import UserError
from lpn.files import atomic_path, write_json
from lpn.formats import is_safetensors, read_safetensors, write_safetensors
from lpn.networks import Network, NetworkSettings, build_network, network_settings
from lpn.settings import sentences

KEYS = ("iteration", "model_state_dict", "optimizer_state_dict", "loss")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU.

    Raises UserError if the file is missing or truncated, holds anything other than tensors and plain values, or lacks one of
    the published keys.
    """
    if not Path(path).exists():
        raise UserError(f"the checkpoint {path} does not exist.")
    if is_safetensors(path):
        state, metadata = read_safetensors(path)
        iteration = metadata.get("iteration", "")
        return dict(zip(KEYS, (int(iteration) if iteration.isdigit() else 0, state, {}, 0.0), strict=True))
    try:
        if zipfile.is_zipfile(path):  # as all are since PyTorch 1.6
            with zipfile.ZipFile(path) as file:
                if name := file.testzip():  # has another checksum than it was written with: torch.load does not look
                    raise zipfile.BadZipFile(name)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is not a safe checkpoint: it holds more than tensors and plain values, or is damaged "
            f"({str(error).splitlines()[0]}). Use a file saved with plain state dicts."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, IndexError, KeyError, zipfile.BadZipFile) as error:
        # EINVAL: in a cut file torch seeks to before its start
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise UserError(
            f"{path} is truncated or corrupt ({type(error).__name__}). Delete it and train or download it again."
        ) from error
    if not isinstance(checkpoint, dict) or not set(KEYS) <= set(checkpoint):
        raise UserError(f"{path} is not a checkpoint: it must hold the keys {', '.join(KEYS)}.")
    state = checkpoint["model_state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path} is not a checkpoint: its 'model_state_dict' must be a dictionary of tensors.")
    return checkpoint


def write_checkpoint(path: str | Path, checkpoint: dict[str, Any]) -> None:
    """Write tensors and plain values to `path` atomically; a full disk raises OSError."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)  # into memory first: writing a file itself, torch hides the system's error
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_state(model: Network, state: dict[str, torch.Tensor], source: str | Path) -> None:
    """Load a state dict into `model`. Raises UserError, naming `source` and the first difference, if it doesn't fit."""
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UserError(
                f"{source} is a checkpoint of another architecture: parameter {name} has shape "
                f"{found.get(name, 'none')} there, and {expected.get(name, 'none')} in the network {model.config}. "
                "Use the settings of the network that was trained, or the checkpoint that belongs to these."
            )
    model.load_state_dict(state)


def save_model(
    path: str | Path, model: Network, iteration: int = 0, optimizer_state: dict[str, Any] | None = None, loss: float = 0.0
) -> None:
    """Write `model.pt` at `path` and `model_config.json` beside it, or the one file `model.safetensors`, atomically.

    `iteration`, `optimizer_state` and `loss` are those at the end of the training, as far as they are known.
    """
    if is_safetensors(path):
        write_safetensors(path, model, {"iteration": iteration})
        return
    write_json(Path(path).with_name("model_config.json"), model.config)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    write_checkpoint(path, dict(zip(KEYS, (iteration, state, optimizer_state or {}, loss), strict=True)))


def settings_file(path: str | Path) -> Path:
    """Return the file of the settings of a model's network: `model_config.json` beside it, or a .safetensors file itself."""
    return Path(path) if is_safetensors(path) else Path(path).with_name("model_config.json")


def written_settings(path: str | Path) -> Any:
    """Return what is written in the `settings_file` of a model. Raises FileNotFoundError or ValueError if nothing is."""
    file = settings_file(path)
    if not is_safetensors(path):
        return json.loads(file.read_text())
    metadata = read_safetensors(file)[1]
    if "network" not in metadata:
        raise ValueError("its metadata lack 'network', the settings of the network")
    return json.loads(metadata["network"])


def read_settings(path: str | Path) -> NetworkSettings:
    """Return the settings of a model's network, from its `settings_file`. Raises UserError without them."""
    try:
        return network_settings(written_settings(path))
    except (FileNotFoundError, ValueError) as error:
        text = " ".join(sentences(error)) if isinstance(error, ValidationError) else f"{error}."
        raise UserError(f"{settings_file(path)}, which describes the network of {path}, can't be read: {text}") from error


def load_model(path: str | Path, settings: NetworkSettings | dict[str, Any] | None = None) -> Network:
    """Load a model onto the CPU in evaluation mode.

    `settings` are those of the network; by default they are read from the `settings_file`. Raises UserError if the file
    can't be read or belongs to another architecture.
    """
    model = build_network(read_settings(path) if settings is None else settings)
    load_state(model, read_checkpoint(path)["model_state_dict"], path)
    return model.eval().requires_grad_(False)
