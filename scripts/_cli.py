"""What all command lines share. torch is imported only by `setup_compute`: most scripts do without."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from lpn.errors import UserError, run_cli
from lpn.files import WRITTEN, check_place
from lpn.record import START, machine, record
from lpn.settings import Located, Settings, describe, sentences

if TYPE_CHECKING:
    import torch

Spec = TypeVar("Spec", bound=BaseModel)


def run_job(main: Callable[[], None]) -> None:
    """Run a script's `main` as `run_cli` does, and end the log (no terminal) with the record of what it used and wrote."""

    def recorded() -> None:
        main()
        if WRITTEN and sys.stdout and not sys.stdout.isatty():
            print(START + json.dumps(record()), flush=True)

    run_cli(recorded)


class Parser(argparse.ArgumentParser):
    """A parser that knows which options name files to write."""

    def add_output(self, option: str, help: str, required: bool = True) -> None:
        """Add an option that names a file to write."""
        self.add_argument(option, type=Path, required=required, help=help)
        self.outputs = [*getattr(self, "outputs", []), option.removeprefix("--").replace("-", "_")]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the arguments, as every way to parse does.

        Raises UserError if an output is the file of another argument, OSError if it can't be written.
        """
        namespace, others = super().parse_known_args(args, namespace)
        values = {name: value if isinstance(value, list) else [value] for name, value in vars(namespace).items()}
        files = [(name, file) for name, found in values.items() for file in found if isinstance(file, str | Path)]
        for name, file in files:
            if name in getattr(self, "outputs", []):
                for other, value in files:
                    if other != name and os.path.realpath(value) == os.path.realpath(file):
                        words = f"--{other}" if f"--{other}" in self._option_string_actions else "an argument"
                        raise UserError(f"--{name} and {words} name the same file, {value}. It would be overwritten.")
                check_place(Path(file))
        return namespace, others


def parser(doc: str | None, spec: type[Settings] | None = None) -> Parser:
    """Return a parser that shows a script's docstring, examples included, and the keys of its settings as its help."""
    keys = f"keys of --spec:\n{describe(spec)}" if spec else None
    return Parser(description=doc, epilog=keys, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_threads(arguments: argparse.ArgumentParser) -> None:
    """Add --threads."""
    arguments.add_argument("--threads", type=_positive, default=1, help="CPU threads (default: 1)")


def _positive(text: str) -> int:
    """Return a positive integer."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a positive integer, not {text!r}")
    return int(text)


def add_device(arguments: argparse.ArgumentParser) -> None:
    """Add --device."""
    arguments.add_argument("--device", default="auto", help="auto (default: CUDA if there is one), cpu, cuda, cuda:1")


@contextmanager
def as_user_errors(place: str = "") -> Iterator[None]:
    """Show the ValueErrors of the block, by which `lpn` refuses settings, as one paragraph; `place` says whose they are."""
    try:
        yield
    except ValidationError as error:
        raise UserError(f"{place}{' '.join(sentences(error))}") from error
    except ValueError as error:
        raise UserError(f"{place}{str(error).rstrip('.')}.") from error


def setup_compute(threads: int, device: str) -> "torch.device":
    """Log the machine, set up arithmetic (`lpn.compute.setup_compute`) and return the device."""
    from lpn import compute

    print(f"machine: {machine()}", flush=True)
    with as_user_errors("--device: "):
        return compute.setup_compute(threads, device)


def read_spec(text: str, spec: type[Spec]) -> Spec:
    """Read a job's settings: JSON text, or the path of a JSON or YAML file, from which relative paths in it start.

    Raises UserError for text that can't be read and settings that do not fit, with a sentence for each fault.
    """
    values = read_mapping(text)
    with as_user_errors("the settings: "):
        return spec.model_validate(values)


def read_mapping(text: str) -> dict[str, Any]:
    """Read JSON text, or a JSON or YAML file. Raises UserError if that can't be read or is no mapping."""
    is_json = text.lstrip().startswith(("{", "["))
    try:
        values = json.loads(text, object_pairs_hook=_unique) if is_json else _read_file(Path(text))
    except (OSError, ValueError) as error:
        raise UserError(f"the settings {'' if is_json else text} can't be read: {error}.") from error
    if not isinstance(values, dict):
        raise UserError(f"the settings {text} must be a mapping of keys to values.")
    return values


def _read_file(path: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    content = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return _located(json.loads(content, object_pairs_hook=_unique), path.parent)
    try:
        return _located(YAML(typ="safe", pure=True).load(content), path.parent)  # pure: of YAML 1.2, where 1e-3 is a number
    except YAMLError as error:
        raise UserError(f"the settings {path} are no valid YAML: {error}.") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return pairs as a dictionary. Raises ValueError for a key that is there twice."""
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(key for key in values if [name for name, _ in pairs].count(key) > 1)
        raise ValueError(f"the key '{twice}' is there twice")
    return values


def _located(value: Any, folder: Path) -> Any:
    """Return values with strings that know the folder of the file they were read from."""
    if isinstance(value, str):
        return Located(value, folder)
    if isinstance(value, dict):
        return {key: _located(part, folder) for key, part in value.items()}
    return [_located(part, folder) for part in value] if isinstance(value, list) else value
