"""Learned proximal networks: exact proximal operators learned from data, and the priors they imply.

The functions listed in `__all__` are those of `lpn.api`, which is imported, with PyTorch, when one is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lpn.api import certify, invert, load_model, make_operator, prox, reconstruct, regulariser, save_model, train

__version__ = "0.1.0"
__all__ = [
    "certify",
    "invert",
    "load_model",
    "make_operator",
    "prox",
    "reconstruct",
    "regulariser",
    "save_model",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'lpn' has no attribute '{name}'")
    return getattr(importlib.import_module("lpn.api"), name)  # by its name: jobs, which use parts of lpn, don't depend on it


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
