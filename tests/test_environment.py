"""environment.yml, pyproject.toml and requirements.lock agree."""

import itertools
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from conftest import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

CONDA_NAMES = {"pytorch": "torch"}
CONDA_ONLY = {"python", "nodejs"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
UNLOCKED = {"bm3d", "slurm"}  # extras that `make` does not install for the pipeline and its tests
PIPELINE = [*PROJECT["dependencies"], *EXTRAS["workflow"], *EXTRAS["tomography"]]


def locked() -> dict[str, set[str]]:
    """Return the versions of each package in the lock file: one, or one for each Python."""
    versions: dict[str, set[str]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", line
        versions.setdefault(canonicalize_name(requirement.name), set()).add(specifier.version)
    return versions


def conda() -> dict[str, SpecifierSet]:
    """Return the specifiers of environment.yml under PyPI names."""
    found = {}
    for entry in YAML(typ="safe").load(ROOT / "environment.yml")["dependencies"]:
        parts = re.fullmatch(r"([a-z0-9.-]+)(.*)", entry)
        assert parts, entry
        exact = re.sub(r"^=(?!=)", "==", parts[2])
        found[CONDA_NAMES.get(parts[1], canonicalize_name(parts[1]))] = SpecifierSet(exact)
    return found


def test_every_dependency_is_in_all_three() -> None:
    names = {canonicalize_name(Requirement(line).name) for line in PIPELINE}
    assert names == conda().keys() - CONDA_ONLY
    assert names <= locked().keys()


def test_locked_versions_satisfy_the_others() -> None:
    versions, environment = locked(), conda()
    extras = [lines for name, lines in EXTRAS.items() if name not in UNLOCKED]
    for requirement in map(Requirement, itertools.chain(PROJECT["dependencies"], *extras)):
        name = canonicalize_name(requirement.name)
        if name == "lpn":  # its other extras
            assert {*EXTRAS} - UNLOCKED - {"dev"} == requirement.extras
            continue
        for version in versions[name]:
            assert requirement.specifier.contains(version), (name, version)
            assert environment.get(name, SpecifierSet()).contains(version), (name, version)
    assert environment["python"] == SpecifierSet(PROJECT["requires-python"])


def test_no_registry_is_named() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()


WINDOWS = """
import importlib, os, pkgutil, signal, sys
import torch, pandas
sys.modules |= dict.fromkeys(["fcntl", "resource", "pwd", "grp", "termios"])
del os.sysconf, os.getuid, signal.SIGHUP
import lpn
from lpn.errors import UserError
for module in [*pkgutil.walk_packages(lpn.__path__, "lpn."), *pkgutil.iter_modules(sys.path[:1])]:
    importlib.import_module(module.name)
from lpn.files import write_text
from lpn.record import machine
from lpn.errors import on_stop_signals
with on_stop_signals(lambda number, frame: None):
    print(machine())
try:
    write_text("a.txt", "")
except UserError as error:
    print(error)
"""


def test_library_and_scripts_are_imported_where_windows_lacks_modules(tmp_path: Path) -> None:
    """What needs a lock says so; the rest works."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'scripts'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", f"import sys; sys.path.pop(0)\n{WINDOWS}"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    machine, refusal = run.stdout.splitlines()
    assert machine.endswith(" cores")
    assert refusal == "Files are written on Linux and macOS only. On Windows, use WSL 2, which is a Linux."


def test_library_needs_only_torch_numpy_and_pydantic_at_import() -> None:
    """What runs on a GPU machine: lpn and the training script import nothing else at the top."""
    allowed = {"torch", "numpy", "pydantic", "pydantic_core", "lpn", "_cli"}
    standard = sys.stdlib_module_names
    files = [*(ROOT / "lpn").rglob("*.py"), ROOT / "scripts/train.py", ROOT / "scripts/_cli.py"]
    assert len(files) > 50
    for path in files:
        for name in re.findall(r"^(?:import|from) (\w+)", path.read_text(), re.MULTILINE):
            assert name in allowed or name in standard, f"{path.name} imports {name}"
