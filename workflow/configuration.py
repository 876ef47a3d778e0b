"""The configuration of a run: YAML files, inheritance by `like`, and the whitelist `make`. Imports no torch.

A run sees the definitions of all its files and of the papers (`config/paper/`). Their order means nothing: two files that
define the same thing are an error. `resolve` has them checked and completed (`check.py`, which imports the package) in a
process of its own, and keeps the result until a file changes.
"""

import difflib
import fnmatch
import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lpn.settings import KINDS, Located

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(".snakemake/lpn")
LIBRARY = ROOT / "config/paper"
SECTIONS = ("data", "models", "methods", "experiments", "curves", "priors")  # of named definitions
MADE = ("curves", "priors", "experiments")  # the sections that `make` names
WHOLE = ("tune", "tuning")  # what replaces the inherited one as a whole


class ConfigurationError(Exception):
    """What is wrong with a configuration, in sentences that name the file or the key, and the remedy."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a YAML 1.2 file; its strings are `Located`.

    Raises ConfigurationError where it is missing, no valid YAML, gives a key twice, or is no mapping.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        text = " ".join(str(error).split()).partition(" To suppress this check")[0]
        hint = " The first value would be lost: write both parts under one key." if "duplicate key" in text else ""
        hint = " Save it as UTF-8." if isinstance(error, UnicodeDecodeError) else hint
        raise ConfigurationError(f"{path} can't be read: {text}.{hint}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} must hold keys with values, not {type(content).__name__}.")
    return _located(content, path.parent)


def _located(value: Any, folder: Path) -> Any:
    if isinstance(value, str):
        return Located(value, folder)
    if isinstance(value, dict):
        return {str(key): _located(part, folder) for key, part in value.items()}
    return [_located(part, folder) for part in value] if isinstance(value, list) else value


def lay(base: Any, own: Any, key: str = "") -> Any:
    """Return a setting laid over an inherited one: mappings key by key, anything else in the place of it.

    A mapping that chooses a component by its `name` replaces the inherited one, as `tune` and `tuning` do.
    """
    if isinstance(base, str) and key in KINDS and isinstance(own, Mapping):
        base = {"name": base}
    if not isinstance(base, Mapping) or not isinstance(own, Mapping) or key in WHOLE:
        return own
    if "name" in own or ("model" in own and "name" in base):
        return own
    return {**base, **{name: lay(base.get(name), value, name) for name, value in own.items()}}


def collect(files: Iterable[Path], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run and all definitions by section, with the names that its own files define as "own".

    `overrides` (Snakemake's --config) replace settings of the run. Raises ConfigurationError if they hold definitions, if a
    section is no mapping, and if two files define the same thing.
    """
    config: dict[str, Any] = {section: {} for section in SECTIONS} | {"make": []}
    homes: dict[str, Path] = {}
    own: list[str] = []
    for path in [*sorted(LIBRARY.glob("*.yaml")), *files]:
        for key, value in read_yaml(path).items():
            if key in SECTIONS and not isinstance(value or {}, Mapping):
                raise ConfigurationError(f"key '{key}' of {path} must hold names with their settings, not {value!r}.")
            places = [f"{key}.{name}" for name in value or {}] if key in SECTIONS else [key]
            for place in places:
                if place in homes and place != "make":
                    raise ConfigurationError(
                        f"key '{place}' is defined by {homes[place]} and by {path}. Give one another name, or remove it."
                    )
                homes[place] = path
            if key in SECTIONS:
                config[key] |= value or {}
                own += [] if path.parent == LIBRARY else places
            elif key == "make":
                config["make"] += value if isinstance(value, list) else [value]
            else:
                config[key] = value
    for key in overrides:
        if key in SECTIONS:
            raise ConfigurationError(
                f"key '{key}' can't be set by --config, which replaces it as a whole. Write it in a file."
            )
    return config | dict(overrides) | {"own": own}


def inherit(definitions: Mapping[str, Any], section: str) -> dict[str, Any]:
    """Return the definitions of a section with what they inherit by `like`.

    Raises ConfigurationError for a name that does not exist, and for a cycle.
    """
    done: dict[str, Any] = {}

    def resolved(name: str, path: tuple[str, ...]) -> Any:
        if name in path:
            raise ConfigurationError(f"key '{section}.{path[0]}.like': {' -> '.join([*path, name])} is a cycle.")
        if name not in done:
            own = definitions[name]
            if not isinstance(own, Mapping) or "like" not in own:
                done[name] = own
            else:
                base = known(own["like"], definitions, f"{section}.{name}.like")
                rest = {key: value for key, value in own.items() if key != "like"}
                done[name] = lay(resolved(base, (*path, name)), rest)
        return done[name]

    return {name: resolved(name, ()) for name in definitions}


def known(name: Any, names: Iterable[str], key: str) -> str:
    """Return the name that a key gives. Raises ConfigurationError if it is none of the names."""
    names = list(names)
    if name in names:
        return name
    close = difflib.get_close_matches(str(name), names, 1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(names) or 'none'}."
    raise ConfigurationError(f"key '{key}' names '{name}', which does not exist; {hint}")


def _methods(experiment: Any, key: str, methods: Mapping[str, Any]) -> Any:
    """Return an experiment with the settings of the methods that it lists, each laid over the shared ones of its name."""
    if not isinstance(experiment, Mapping) or "methods" not in experiment:
        return experiment
    listed = experiment["methods"]
    if not isinstance(listed, list):
        raise ConfigurationError(f"key '{key}.methods' must be a list of names of methods, such as [tv], not {listed!r}.")
    found: dict[str, Any] = {}
    for item in listed:
        name, own = next(iter(item.items())) if isinstance(item, Mapping) and len(item) == 1 else (item, {})
        if not isinstance(name, str) or not isinstance(own, Mapping):
            raise ConfigurationError(
                f"key '{key}.methods': {item!r} must be a name, or one name with a mapping of settings."
            )
        if name in found:
            raise ConfigurationError(f"key '{key}.methods' lists '{name}' twice.")
        base = methods[known(own.get("like", name), methods, f"{key}.methods.{name}")]
        found[name] = lay(base, {part: value for part, value in own.items() if part != "like"})
        searched = found[name].get("tune")
        for path in searched if isinstance(searched, Mapping) and "tune" not in own else ():
            if _has(own, path):
                raise ConfigurationError(
                    f"key '{key}.methods.{name}.{path}' has no effect, because the method searches for it. Give 'tune' its "
                    "values instead, or set 'tune' to null."
                )
    return {**experiment, "methods": found}


def _has(settings: Any, path: str) -> bool:
    name, _, rest = path.partition(".")
    return isinstance(settings, Mapping) and name in settings and (not rest or _has(settings[name], rest))


def repetition(model: str, seed: int) -> str:
    """Return the name of a model that repeats another one with another seed."""
    return f"{model}_seed{seed}"


def repetitions(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """Return the repetitions of the headline models of curves or priors, with what each repeats."""
    headline = [evaluation["model"]] if "model" in evaluation else itertools.chain(*evaluation.get("figures", {}).values())
    return {repetition(model, seed): model for model in headline for seed in evaluation.get("seeds", [])}


def _repeat(models: dict[str, Any], model: str, seed: int, key: str) -> None:
    """Add the repetition of a model to the models, and those of the models that it starts from."""
    settings = models[known(model, models, key)]
    if not isinstance(settings, Mapping) or settings.get("seed", seed) == seed:
        raise ConfigurationError(
            f"key '{key}' lists {seed}, but '{model}' is trained with that seed, or with none. Give other seeds, or []."
        )
    name, start = repetition(model, seed), settings.get("init")
    if start:
        _repeat(models, start, seed, key)
    own = {"seed": seed} | ({"init": repetition(start, seed)} if start else {})
    if models.setdefault(name, {**settings, **own}) != {**settings, **own}:
        raise ConfigurationError(f"key 'models.{name}' has the name of a repetition that '{key}' makes. Rename it.")


def _with_repetitions(models: Mapping[str, Any], evaluations: Mapping[str, Any], section: str) -> tuple[Any, Any]:
    """Return the models with the repetitions that curves or priors ask for, and these with them as further models."""
    models, found = dict(models), {}
    for name, evaluation in evaluations.items():
        found[name] = evaluation
        if isinstance(evaluation, Mapping) and isinstance(evaluation.get("seeds"), list):
            new = repetitions(evaluation)
            for model in dict.fromkeys(new.values()):
                for seed in evaluation["seeds"]:
                    _repeat(models, model, seed, f"{section}.{name}.seeds")
            found[name] = {**evaluation, "others": [*evaluation.get("others", []), *new]}
    return models, found


def expand(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with everything inherited, with repetitions, and with `make` as a list of names.

    Raises ConfigurationError for names that do not exist or are not unique, and if `make` is missing or names nothing.
    """
    expanded = {**config, **{section: inherit(config[section], section) for section in SECTIONS}}
    expanded["experiments"] = {
        name: _methods(experiment, f"experiments.{name}", expanded["methods"])
        for name, experiment in expanded["experiments"].items()
    }
    for section in ("curves", "priors"):
        expanded["models"], expanded[section] = _with_repetitions(expanded["models"], expanded[section], section)
    homes = {name: section for section in reversed(MADE) for name in expanded[section]}
    doubles = [name for name in homes if sum(name in expanded[section] for section in MADE) > 1]
    if doubles:
        raise ConfigurationError(f"{', '.join(doubles)}: curves, priors and experiments must have different names.")
    made: list[str] = []
    for pattern in config["make"] if isinstance(config["make"], list) else [config["make"]]:
        names = fnmatch.filter(homes, str(pattern))
        if not names:
            known(pattern, homes, "make")
        made += [name for name in names if name not in made]
    if not made:
        raise ConfigurationError(f"key 'make' must list what the run makes. There are: {', '.join(homes)}.")
    return expanded | {"make": made}


def resolve(files: Iterable[Path], overrides: Mapping[str, Any], cache: Path = CACHE) -> dict[str, Any]:
    """Return the complete, checked configuration of a run; ends the program with one paragraph where it is faulty.

    The result is kept in the folder `cache`, under a key that covers the environment, the code, the files, and what they
    name.
    """
    files = [Path(os.path.relpath(path)) for path in files]
    variables = [os.environ.get(name) for name in ("LPN_DATA", "HOME")] + [sys.prefix]
    key = hashlib.sha256(os.path.expandvars(repr([list(map(str, files)), sorted(overrides.items()), variables])).encode())
    code = [*(ROOT / "lpn").rglob("*.py"), *(ROOT / "workflow").glob("*.py"), *LIBRARY.glob("*.yaml")]
    for path in sorted([*code, *(path for path in files if path.is_file())]):
        key.update(os.fsencode(path) + b"\n" + os.path.expandvars(path.read_bytes()))
    kept = cache / f"{key.hexdigest()[:24]}.json"
    if kept.exists():
        result = json.loads(kept.read_text(encoding="utf-8"))
        if all(_state(Path(path)) == state for path, state in result["files"].items()):
            return result
    command = [sys.executable, str(ROOT / "workflow/check.py"), *map(str, files), "--set", json.dumps(dict(overrides))]
    run = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    if run.returncode:
        sys.exit(run.returncode)
    result = json.loads(run.stdout)
    result["files"] = {path: _state(Path(path)) for path in result["files"]}
    replace_text(kept, json.dumps(result))
    return result


def replace_text(path: Path, text: str) -> None:
    """Write a text file at once: another process reads the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _state(path: Path) -> list[int] | None:
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else None


if __name__ == "__main__":  # prints the name of the run that the files define
    print(resolve([Path(path) for path in sys.argv[1:]], {})["config"]["run"])
