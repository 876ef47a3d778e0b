"""Optional packages, and the parts of deepinv that settings name."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import torch

from lpn.seeds import stream_seed, torch_generator
from lpn.settings import did_you_mean


def optional(package: str, need: str, extra: str | None = None) -> Any:
    """Return an optional package, of the extra of its own name by default.

    Raises ValueError with `need`, who needs it, and the command that installs it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ValueError(f"{need}: pip install --editable '.[{extra or package}]'") from error


def deepinv() -> Any:
    """Return the package deepinv. Raises ValueError if it is not installed."""
    return optional("deepinv", "this needs the package deepinv")


def deepinv_class(kind: str, name: str, base: type, arguments: Mapping[str, Any]) -> type:
    """Return a class of deepinv.physics or deepinv.models, a `kind`, by its name.

    Raises ValueError if there is none, if it is not of the class `base`, or if it has no argument of one of the names.
    """
    module = getattr(deepinv(), kind)
    known = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, base)]
    if name not in known:
        if isinstance(getattr(module, name, None), type):
            raise ValueError(f"deepinv.{kind}.{name} is no {base.__name__}; take one that is")
        raise ValueError(f"deepinv.{kind} has no class '{name}'; {did_you_mean(name, known)}")
    found: type = getattr(module, name)
    names = [key for part in found.__mro__ for key in inspect.signature(part.__init__).parameters if key != "self"]
    for key in arguments:
        if key not in names:
            raise ValueError(
                f"deepinv.{kind}.{name} has no argument '{key}'; {did_you_mean(key, list(dict.fromkeys(names)))}"
            )
    return found


def make_deepinv(found: type, arguments: Mapping[str, Any], seed: int, **defaults: Any) -> Any:
    """Return an object of a class of deepinv; what is random is drawn from `seed`.

    Lists of lists become float32 tensors, other lists tuples. `defaults` are for arguments that the class needs. Raises
    ValueError if deepinv refuses the arguments.
    """
    parameters = inspect.signature(found.__init__).parameters
    values = {key: _argument(value) for key, value in arguments.items()}
    needed = {key for key, parameter in parameters.items() if parameter.default is inspect.Parameter.empty}
    values = {key: value for key, value in defaults.items() if key in needed} | values
    if "rng" in parameters:
        values["rng"] = torch_generator(seed, "deepinv")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "deepinv"))
        try:
            return found(**values)
        except Exception as error:
            raise ValueError(f"{found.__module__}.{found.__name__} refuses its arguments: {error}") from error


def _argument(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return torch.tensor(value, dtype=torch.float32) if value and isinstance(value[0], list) else tuple(value)
