"""Typed settings, and the components that a name chooses.

A component is a class of settings that stands beside what it sets: an operator, a denoiser, a solver, a network, a loss, an
augmentation or a data set. Each kind is a folder of the package, and each name is a file in that folder, which defines one
class. A name such as ``my_operators.py:Mri`` is a class in a file of the user's.
"""

import difflib
import importlib
import inspect
import os
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError, core_schema

from lpn.plug_ins import line_of, load

KINDS = {  # the key that chooses a component, and where the built-in ones are
    "operator": "lpn.operators",
    "prox": "lpn.denoisers",
    "solver": "lpn.solvers",
    "network": "lpn.networks",
    "loss": "lpn.losses",
    "augment": "lpn.augmentations",
    "dataset": "lpn.data",
}


class Located(str):
    """A string that knows the folder of the file it was read from: relative paths start there."""

    folder: Path

    def __new__(cls, text: str, folder: str | Path) -> "Located":
        """Return `text`, read from a file in `folder`."""
        located = super().__new__(cls, text)
        located.folder = Path(folder)
        return located

    def __getnewargs__(self) -> tuple[str, Path]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the arguments that copy this string."""
        return str(self), self.folder


class Settings(BaseModel):
    """Settings with types, ranges and no unknown keys; they do not change.

    Raises pydantic's ValidationError (a ValueError); `sentences` puts it in words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            unknown = [str(key) for key in values if key not in cls.model_fields]
            if unknown:
                hints = " ".join(f"unknown key '{key}'; {did_you_mean(key, list(cls.model_fields))}" for key in unknown)
                raise PydanticCustomError("unknown_key", "{hints}", {"hints": hints})
        return values


class Component(Settings):
    """Settings of a thing that its name chooses, with the thing itself: see the base class of each kind."""

    kind: ClassVar[str]
    requires: ClassVar[dict[str, str]] = {}  # packages that may be missing, by their import names: how to install each
    name: str = Field(default="", description="what to use: a name below, or FILE.py:CLASS")

    @property
    def plug_in(self) -> Path | None:
        """The file of the user's that the component is in; None for built-in ones."""
        path, colon, _ = self.name.rpartition(":")
        return Path(path) if colon else None

    @model_validator(mode="before")
    @classmethod
    def _own_name(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and not values.get("name") and cls.__module__.startswith("lpn."):
            return {**values, "name": cls.__module__.rpartition(".")[2]}
        return values


def did_you_mean(word: str, known: list[str]) -> str:
    """Return what an unknown word may stand for, as the end of a sentence."""
    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean '{close[0]}'?" if close else f"the known ones are: {', '.join(known) or 'none'}."


def names(kind: str) -> list[str]:
    """Return the names of the built-in components of a kind, a key of `KINDS`."""
    package = importlib.import_module(KINDS[kind])
    return [module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]


def component(kind: str, name: str) -> type[Component]:
    """Return the class of a component: that of a built-in one, or FILE.py:CLASS.

    Raises ValueError where there is none, with the known names or the fault of the file.
    """
    path, colon, class_name = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _plug_in(kind, path, class_name)
    if name not in names(kind):
        hint = "write FILE.py:CLASS." if name.endswith(".py") else did_you_mean(name, names(kind))
        raise ValueError(f"unknown {kind} '{name}'; {hint}")
    (found,) = _classes(importlib.import_module(f"{KINDS[kind]}.{name}"), kind).values()
    return found


def _classes(module: ModuleType, kind: str) -> dict[str, type[Component]]:
    """Return the components of a kind that a module defines, by the names of their classes."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Component) and value.__module__ == module.__name__
        if getattr(value, "kind", None) == kind and not name.startswith("_")
    }


def _plug_in(kind: str, path: str, class_name: str) -> type[Component]:
    """Return a class from a file of the user's."""
    if not Path(path).is_file():
        raise ValueError(f"the file {path} of the {kind} '{class_name}' does not exist.")
    classes = _classes(load(path), kind)
    if class_name not in classes:
        base = importlib.import_module(KINDS[kind]).BASE.__name__
        raise ValueError(
            f"{path} has no class {class_name} that is {'an' if base[0] in 'AO' else 'a'} {base} (from {KINDS[kind]} import "
            f"{base}); of that kind it has: {', '.join(classes) or 'none'}."
        )
    return classes[class_name]


def blame(settings: Component, error: Exception) -> str:
    """Return where in a plug-in's file an error arose, e.g. "mri.py, line 7: "; nothing for built-in components."""
    file = settings.plug_in
    return f"{file}{line_of(error, file.resolve())}: " if file else ""


def _resolved(path: str) -> str:
    """Return a path from the folder of the file it was read from, with ~ and variables replaced; else ValueError."""
    names = re.findall(r"\$(\w+|\{\w+\})", path)
    text = str(Path(os.path.expanduser(os.path.expandvars(path))))  # noqa: PTH111 - pathlib's needs a home
    unknown = [f"${name}" for name in names if name.strip("{}") not in os.environ] + re.findall(r"^~\w*", text)
    if unknown:
        raise ValueError(f"{unknown[0]} in the path {path} is unknown: set the variable, or write the whole path")
    if isinstance(path, Located) and not Path(text).is_absolute():
        text = os.path.normpath(Path(path.folder) / text)
    return text.removeprefix(f"{Path.cwd()}{os.sep}")


class NamedFile(str):
    """The path of a file or a folder that settings name: jobs depend on its content."""

    __slots__ = ()


class NamedFolder(NamedFile):
    """The path of a folder: jobs depend on all files in it."""

    __slots__ = ()


def as_file(value: Any) -> Any:
    """Return the path of a file or folder as settings keep it; what is no string is returned as it is."""
    return NamedFile(_resolved(value)) if isinstance(value, str) else value


# paths; relative ones start at the file that they were read from
File = Annotated[str, BeforeValidator(as_file), AfterValidator(NamedFile)]
Folder = Annotated[str, BeforeValidator(as_file), AfterValidator(NamedFolder)]


class Choice:
    """Annotates a setting that is a component of a kind, e.g. ``Annotated[Loss, Choice("loss")]``.

    Takes a mapping with a name, or a name alone.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def _validate(self, value: Any, info: core_schema.ValidationInfo) -> Component:
        if isinstance(value, Component):
            return value
        settings = {"name": value} if isinstance(value, str) else value
        if not isinstance(settings, Mapping):
            raise ValueError(f"must be a name, or a mapping with a name; it is {value!r}")
        name = settings.get("name", self.default(settings))
        if not isinstance(name, str) or not name:
            raise ValueError(f"lacks 'name', which chooses the {self.kind}: {', '.join(names(self.kind))} or FILE.py:CLASS")
        path, colon, class_name = name.rpartition(":")
        if colon and path.endswith(".py"):
            name = f"{_resolved(Located(path, name.folder) if isinstance(name, Located) else path)}:{class_name}"
        return component(self.kind, name).model_validate({**settings, "name": str(name)}, context=info.context)

    def default(self, settings: Mapping[str, Any]) -> str | None:
        """Return the name that settings without one stand for."""
        return "learned" if self.kind == "prox" and "model" in settings else None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Validate by the class that the name chooses."""
        return core_schema.with_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        """Describe all built-in components, one after the other."""
        plug_in = {"type": "object", "required": ["name"], "properties": {"name": {"pattern": r"\.py:\w+$"}}}
        options = [_schema(component(self.kind, name), name) for name in names(self.kind)]
        return {"anyOf": [{"enum": names(self.kind)}, {"type": "string", "pattern": r"\.py:\w+$"}, *options, plug_in]}


def _schema(settings: type[Component], name: str) -> dict[str, Any]:
    schema = settings.model_json_schema()
    schema["properties"]["name"] = {"const": name}
    return schema


def parts(settings: Settings) -> Iterator[Settings]:
    """Yield settings, and all settings in them."""
    yield settings
    for _, value in settings:
        values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        for part in values:
            if isinstance(part, Settings):
                yield from parts(part)


def files(settings: Settings) -> list[str]:
    """Return the files that settings, and the settings in them, name."""
    return sorted({value for part in parts(settings) for _, value in part if isinstance(value, NamedFile)})


def sentences(error: ValidationError, place: str = "") -> list[str]:
    """Return one sentence for each fault of settings, which names the key; `place` is where the settings stand."""
    result = []
    for fault in error.errors():
        key = ".".join(map(str, ([place] if place else []) + list(fault["loc"]))) or "top level"
        text = str(fault.get("ctx", {}).get("error")) if fault["type"] == "value_error" else fault["msg"]
        if fault["type"] == "missing":
            parent, _, name = key.rpartition(".")
            result.append(f"key '{parent or 'top level'}' lacks '{name}'.")
        elif fault["type"] == "unknown_key":
            result.append(f"key '{key}': {text}")
        elif fault["type"] == "value_error":
            result.append(f"key '{key}': {text.rstrip('.')}.")
        else:
            result.append(f"key '{key}' is {fault['input']!r}: {text[0].lower()}{text[1:].rstrip('.')}.")
    return result


def describe(settings: type[Settings], indent: str = "  ") -> str:
    """Return one line for each key of a class of settings: its meaning, its type, its range and its default."""
    lines = []
    for name, field in settings.model_fields.items():
        if name == "name":  # of a component, which its place says
            continue
        kind = re.sub(r"typing\.| \| None", "", inspect.formatannotation(field.annotation).replace("NoneType", "None"))
        kind = "" if re.search(r"Annotated|lpn\.|schema\.", kind) else kind
        limits = [f"{sign} {getattr(m, key)}" for m in field.metadata for key, sign in SIGNS.items() if hasattr(m, key)]
        default = "needed" if field.is_required() else f"default: {_shown(field.get_default(call_default_factory=True))}"
        lines.append(f"{indent}{name}: {field.description} ({', '.join(part for part in [kind, *limits, default] if part)})")
    return "\n".join(lines)


SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _shown(value: Any) -> str:
    return str(value.model_dump(mode="json") if isinstance(value, Settings) else value)
