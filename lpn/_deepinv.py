"""What operators and denoisers of the package deepinv share: its classes, by name and arguments."""

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch

from lpn.seeds import stream_seed, torch_generator
from lpn.settings import did_you_mean

REQUIRES = {"deepinv": "pip install --editable '.[deepinv]'"}


def deepinv_class(package: ModuleType, kind: str, name: str, base: str, arguments: Mapping[str, Any]) -> type:
    """Return a class of deepinv.physics or deepinv.models, a `kind` of the package, by its name.

    Raises ValueError if there is none, if it is not of the class `base`, or if it has no argument of one of the names.
    """
    module = getattr(package, kind)
    wanted: type = getattr(module, base)
    known = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, wanted)]
    if name not in known:
        if isinstance(getattr(module, name, None), type):
            raise ValueError(f"deepinv.{kind}.{name} is no {base}; take one that is")
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
