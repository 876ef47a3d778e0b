"""Other formats of models: safetensors, with metadata, and ONNX."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lpn.errors import UserError
from lpn.files import atomic_path
from lpn.networks import Network
from lpn.packages import load_package


def is_safetensors(path: str | Path) -> bool:
    """Tell by its suffix whether a model is in the format safetensors."""
    return Path(path).suffix.lower() == ".safetensors"


def write_safetensors(path: str | Path, model: Network, metadata: Mapping[str, Any]) -> None:
    """Write a network's weights, its settings and metadata to a .safetensors file, atomically.

    The values of the metadata become text: JSON, unless they are text already. The key "network" holds the settings.
    """
    from safetensors.torch import save

    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    content = save(state, texts | {"network": json.dumps(model.config)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the weights of a .safetensors file, on the CPU, and its metadata. Raises UserError if it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{path} is no whole .safetensors file ({error}). Export or download it again.") from error


def export_onnx(model: Network, path: str | Path, shape: tuple[int, ...]) -> None:
    """Write f as an ONNX graph, atomically: input "x" and output "f" are float32 of this shape, (N, C, H, W) or (N, 1).

    Raises UserError if the extra `onnx` is not installed, and ValueError as the network does if the shape does not fit.
    """
    load_package("onnxscript", "the format ONNX", "pip install --editable '.[onnx]'")
    x = torch.zeros(shape, device=next(model.parameters()).device)
    with torch.no_grad():
        model(x)  # says what does not fit
        program = torch.onnx.export(model.eval(), (x,), input_names=["x"], output_names=["f"], dynamo=True, verbose=False)
    assert program is not None
    with atomic_path(path, suffix=".onnx") as temporary:
        program.save(temporary)
