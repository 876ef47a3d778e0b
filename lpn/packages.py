"""Packages that a component needs and that may not be installed: see `Component.requires`."""

import importlib
from importlib.util import find_spec
from types import ModuleType

from lpn.errors import UserError
from lpn.settings import Component, Settings, parts


def missing(settings: Settings) -> dict[str, str]:
    """Return the packages that settings, and the settings in them, need and that are not there, with how to install each."""
    needed = {name: how for part in parts(settings) if isinstance(part, Component) for name, how in part.requires.items()}
    return {name: how for name, how in needed.items() if find_spec(name) is None}


def load(component: type[Component]) -> list[ModuleType]:
    """Return the packages that a component needs. Raises UserError, with the remedy, for one that is missing or damaged."""
    packages = []
    for name, how in component.requires.items():
        try:
            packages.append(importlib.import_module(name))
        except ImportError as error:
            raise UserError(f"{component.__name__} needs the package {name} ({error}). Install it: {how}.") from error
    return packages
