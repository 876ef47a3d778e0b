"""What all command lines share."""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from lpn.errors import UserError
from lpn.memory import keep_freed_memory


def parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser that shows a script's docstring, examples included, as its help."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_threads(arguments: argparse.ArgumentParser) -> None:
    """Add --threads."""
    arguments.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")


def add_device(arguments: argparse.ArgumentParser) -> None:
    """Add --device."""
    arguments.add_argument("--device", default="auto", help="auto (default: CUDA where there is one), cpu, cuda, cuda:1")


def setup_compute(threads: int, device: str) -> torch.device:
    """Set up arithmetic the same way for every job and return the device ("auto": CUDA where there is one).

    fp32 means fp32 (no TF32), and cuDNN takes deterministic kernels.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def read_spec(text: str, *keys: str) -> dict[str, Any]:
    """Read a job's settings: JSON text, or the path of a JSON or YAML file. They must have these keys."""
    spec = _read(text)
    if missing := [key for key in keys if key not in spec]:
        raise UserError(f"the settings lack the keys {', '.join(missing)}; they need {', '.join(keys)}.")
    return spec


def _read(text: str) -> dict[str, Any]:
    is_json = text.lstrip().startswith("{")
    try:
        content = text if is_json else Path(text).read_text()
        if is_json or text.endswith(".json"):  # not as YAML, to which 1e-6 is a string
            return json.loads(content)
        import yaml

        try:
            return yaml.safe_load(content)
        except yaml.YAMLError as error:
            raise UserError(f"the settings {text} are no valid YAML: {error}.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"the settings {'' if is_json else text} can't be read: {error}.") from error
