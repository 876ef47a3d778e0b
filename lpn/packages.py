"""Packages that may not be installed, such as those that components need: see `Component.requires`."""

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
    """Return the packages that a component needs, as `load_package` does."""
    return [load_package(name, component.__name__, how) for name, how in component.requires.items()]


def load_package(name: str, who: str, how: str) -> ModuleType:
    """Return a package that `who` needs. Raises UserError, with the remedy `how`, if it is missing or damaged."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{who} needs the package {name} ({error}). Install it: {how}.") from error
