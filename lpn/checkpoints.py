"""Model files, in the format of the published checkpoints, or in safetensors.

`model.pt` holds `iteration, model_state_dict, optimizer_state_dict, loss`; `model_config.json` beside it holds the
settings of the network. Files are read with `weights_only=True`: a pickled payload is refused, never run.
`model.safetensors` holds weights and settings, see `lpn.formats`. The suffix tells which it is.
"""

import errno
import io
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from lpn.errors import UserError
from lpn.files import atomic_path, write_json
from lpn.formats import is_safetensors, read_safetensors, write_safetensors
from lpn.networks import Network, NetworkSettings, build_network, network_settings
from lpn.settings import sentences

KEYS = ("iteration", "model_state_dict", "optimizer_state_dict", "loss")
NUMPY = {"numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar"}  # how NumPy 2 and 1 pickle a scalar
FOREIGN = {  # how files begin that people have in the place of a checkpoint
    b"version https://git-lfs": "a Git LFS pointer, not the model. Run 'git lfs pull' in its repository",
    b"<": "a web page, not a model. Open the link of the model in a browser and download the file itself",
    b"{": "JSON text, not a model. Use the file of the weights",
    b"\x1f\x8b": "packed by gzip. Unpack it, and use the file in it",
    b"\x89HDF": "an HDF5 file, not a PyTorch checkpoint. Use the weights that PyTorch saved",
}
INVALID = (RuntimeError, ValueError, LookupError, TypeError, AttributeError)  # of reading damaged bytes


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU: the published keys, and whatever else the file has.

    Where a file of another program lacks keys, iteration is 0, the optimiser's state empty and the loss NaN; its weights are
    under `model_state_dict`, `state_dict` or the only key of weights, or the whole file. A safetensors file is read too.

    Raises UserError if the file is missing, truncated or no checkpoint, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"the checkpoint {path} {'is a folder' if path.is_dir() else 'does not exist'}.")
    if is_safetensors(path):
        state, metadata = read_safetensors(path)
        iteration = metadata.get("iteration", "")
        return dict(zip(KEYS, (int(iteration) if iteration.isdigit() else 0, state, {}, float("nan")), strict=True))
    try:
        content = _read_pickle(path)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))  # not the rest: torch advises to load it unsafely
        what = f"holds {found[1]}, not only tensors and plain values" if found else "is damaged, or no file of torch.save"
        raise UserError(f"{path} is not a safe checkpoint: it {what}. Save a state_dict() in its place.") from error
    except (OSError, EOFError, zipfile.BadZipFile, *INVALID) as error:
        # EINVAL: in a cut file torch seeks to before its start
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise UserError(
            f"{path} is truncated or corrupt, or no checkpoint ({type(error).__name__}). Delete it, and train or "
            "download it again."
        ) from error
    return _completed(content, path)


def _refuse_foreign(path: Path) -> None:
    """Raise UserError for files that are something else."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise UserError(f"{path} is empty. Delete it and train or download it again.")
    for beginning, what in FOREIGN.items():
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(beginning):
            raise UserError(f"{path} is {what}.")
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        raise UserError(f"{path} is in the format safetensors. Give it a name that ends with .safetensors.")
    if zipfile.is_zipfile(path):  # as all checkpoints are since PyTorch 1.6
        with zipfile.ZipFile(path) as file:
            names = {name.rpartition("/")[2]: name for name in file.namelist()}
        if "constants.pkl" in names:
            raise UserError(f"{path} is a TorchScript program, not a checkpoint. Save its state_dict() in its place.")
        if "data.pkl" not in names:
            held = ", ".join(list(names.values())[:3]) or "nothing"
            raise UserError(f"{path} is an archive that holds {held}, not a checkpoint. Unpack it, and use the model in it.")


def _read_pickle(path: Path) -> Any:
    """Read what torch.save wrote; NumPy's scalars become numbers."""
    _refuse_foreign(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            if name := file.testzip():  # has another checksum than it was written with: torch.load does not look
                raise zipfile.BadZipFile(name)
    allowed = [*((_number, name) for name in NUMPY), (_ScalarType, "numpy.dtype")]
    with torch.serialization.safe_globals(allowed), warnings.catch_warnings(action="ignore"):  # of pickle's protocols
        return torch.load(path, map_location="cpu", weights_only=True)


class _ScalarType:
    """Stands for the type of a pickled NumPy scalar: a real number or a boolean, never an object."""

    def __init__(self, code: str, *flags: bool) -> None:
        if not re.fullmatch(r"[fiu][1248]|b1", code):
            raise pickle.UnpicklingError(f"GLOBAL numpy.dtype({code!r})")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):  # the byte order; "|" is none
            self.dtype = np.dtype(f"{state[1]}{self.dtype.str[1:]}")


def _number(kind: _ScalarType, content: bytes) -> float:
    """Return the number that a pickled NumPy scalar is."""
    return np.frombuffer(content, kind.dtype, count=1)[0].item()


def _is_state(value: Any) -> bool:
    """Return whether a value is a dictionary of tensors."""
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items())


def _completed(content: Any, path: Path) -> dict[str, Any]:
    """Return the content of a file as a checkpoint, see `read_checkpoint`."""
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a checkpoint: it holds a {type(content).__name__}, not a dictionary of tensors.")
    if content and _is_state(content):
        content = {"model_state_dict": content}
    named = [key for key in ("model_state_dict", "state_dict") if key in content]
    states = named[:1] or [key for key, value in content.items() if _is_state(value) and value]
    key = states[0] if len(states) == 1 else None
    if not _is_state(content.get(key)):
        keys = ", ".join(map(str, [*content][:5])) or "none"
        raise UserError(
            f"{path} is not a checkpoint: it must have its weights, a dictionary of tensors, under the key "
            f"'model_state_dict' or 'state_dict'. Its keys are: {keys}."
        )
    checkpoint = dict(zip(KEYS, (0, content[key], {}, float("nan")), strict=True)) | content
    return checkpoint | {"iteration": checkpoint["iteration"] if isinstance(checkpoint["iteration"], int) else 0}


def write_checkpoint(path: str | Path, checkpoint: dict[str, Any]) -> None:
    """Write tensors and plain values to `path` atomically; a full disk raises OSError."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)  # into memory first: writing a file itself, torch hides the system's error
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _same_prefix(names: Iterable[str]) -> bool:
    """Return whether all names begin with the same word and a dot."""
    first = {name.partition(".")[:2] for name in names}
    return len(first) == 1 and first.pop()[1] == "."


def load_state(model: Network, state: dict[str, torch.Tensor], source: str | Path) -> None:
    """Load a state dict into `model`, also if wrappers such as DataParallel put one name before all: "module.lin.0.weight".

    Raises UserError, naming `source` and the first difference, if it doesn't fit.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    bare = state
    while bare.keys() != expected.keys() and _same_prefix(bare):
        bare = {name.partition(".")[2]: value for name, value in bare.items()}
    state = bare if bare.keys() == expected.keys() else state
    found = {name: tuple(value.shape) for name, value in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UserError(
                f"{source} is a checkpoint of another architecture: parameter {name} has shape "
                f"{found.get(name, 'none')} there, and {expected.get(name, 'none')} in the network {model.config}. "
                "Use the settings of the network that was trained, or the checkpoint that belongs to these."
            )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{source} holds sparse, quantised or empty weights. Save them as plain tensors.") from error


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
        return json.loads(file.read_text(encoding="utf-8"))
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


def made_with(path: str | Path) -> dict[str, Any]:
    """Return precision, device and versions of a model's training, which `made_with.json` beside it or its metadata know.

    "precision" is fp32, tf32 or bf16, and None if nothing is known. Raises UserError if what is written is damaged.
    """
    if is_safetensors(path):
        file, remedy = Path(path), "Export it again"
        content = read_safetensors(path)[1].get("made_with")
    else:
        file, remedy = Path(path).with_name("made_with.json"), f"Delete it; the precision of {path} is then unknown"
        content = file.read_bytes() if file.exists() else None
    try:
        known = {"precision": None} if content is None else json.loads(content)
        return {"precision": known["precision"]} | known
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{file} is damaged: it does not say how the network was trained. {remedy}.") from error
