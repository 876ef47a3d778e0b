"""The container has what the README's commands need. (Docker itself is not run.)"""

import json
import re
import tomllib

from conftest import ROOT
from packaging.specifiers import SpecifierSet

INSTRUCTIONS = re.findall(r"^([A-Z]+) ((?:.*\\\n)*.*)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)


def arguments(name: str) -> list[str]:
    """Return the arguments of the instructions of a name."""
    return [text for found, text in INSTRUCTIONS if found == name]


def patterns(name: str) -> set[str]:
    """Return the names that an ignore file has, without the signs by which its kind says where they are."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return {line.removeprefix("**/").strip("/") for line in lines if line and not line.startswith("#")}


def test_its_python_is_one_of_the_project() -> None:
    (image,) = arguments("FROM")
    version = re.fullmatch(r"python:(\d+\.\d+)-slim", image)
    assert version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert SpecifierSet(project["requires-python"]).contains(version[1])


def test_it_has_the_programs_that_the_project_starts() -> None:
    (install, *_) = arguments("RUN")
    assert {"git", "make", "npm"} <= set(install.split())


def test_copied_files_are_there() -> None:
    copied = [path for text in arguments("COPY") for path in text.split()[:-1]]
    assert copied[-1] == "."
    assert all((ROOT / path).exists() for path in copied)
    readme = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["readme"]
    assert {"Makefile", "pyproject.toml", "requirements.lock", readme} <= set(copied[:-1])  # what installs the packages


def test_its_command_is_the_readmes() -> None:
    (command,) = arguments("CMD")
    two_commands = (ROOT / "README.md").read_text("utf-8").partition("## Two commands")[2].partition("## ")[0]
    assert re.search(rf"^{' '.join(json.loads(command))} ", two_commands, re.MULTILINE)
    (folder,), (path,) = arguments("WORKDIR"), arguments("ENV")
    assert path.startswith(f"PATH={folder}/.venv/bin:")


def test_what_git_ignores_is_not_copied() -> None:
    assert patterns(".gitignore") == patterns(".dockerignore")
