"""The examples of docs/plug-ins.md, and fixtures of other folders."""

import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
from ruamel.yaml import YAML
from scripts.conftest import refused, run
from workflow.conftest import Checker, Project, project

from lpn.settings import Choice, Component, Located, Settings

__all__ = ["Checker", "Project", "project", "refused", "run"]
ROOT = Path(__file__).resolve().parent.parent.parent
FILE = re.compile(r"^`(\S+)`, used by `(.+)`:\n\n```python\n((?:.*\n)*?)```$", re.MULTILINE)


class Example(NamedTuple):
    """An example of the page: its code, and how a configuration uses it."""

    code: str
    uses: dict[str, Any]


PAGE = (ROOT / "docs/plug-ins.md").read_text(encoding="utf-8")
EXAMPLES = {file: Example(code, YAML(typ="safe", pure=True).load(uses)) for file, uses, code in FILE.findall(PAGE)}
OF_KIND = {"dataset" if kind == "data" else kind: file for file, example in EXAMPLES.items() for kind in example.uses}


def used(kind: str) -> Any:
    """Return what the page gives a configuration for a kind: the value of its key, or of its only data set."""
    uses = EXAMPLES[OF_KIND[kind]].uses
    return uses["data"]["scans"] if kind == "dataset" else uses[kind]


def write_examples(folder: Path) -> None:
    """Write the files of the page, and ten scans for its data set."""
    for file, example in EXAMPLES.items():
        (folder / file).write_text(example.code, encoding="utf-8")
    (folder / "scans").mkdir()
    y, x = np.mgrid[:64, :64] / 64
    for number in range(10):
        values = (
            0.5 + 0.3 * np.sin((number + 4) * x) * np.cos(5 * y) + 0.2 * (np.hypot(x - 0.5, y - 0.5) < 0.1 + number / 40)
        )
        np.save(folder / f"scans/{number}.npy", np.round(4095 * values.clip(0, 1)).astype(np.uint16))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples of the page."""
    path = tmp_path_factory.mktemp("plug_ins")
    write_examples(path)
    return path


def chosen(folder: Path, kind: str, **changes: object) -> Any:
    """Return a component of the page, as if a configuration in the folder named it, perhaps with changed settings."""

    class Chosen(Settings):
        part: Annotated[Component, Choice(kind)]

    values = {key: Located(value, folder) if isinstance(value, str) else value for key, value in used(kind).items()}
    return Chosen.model_validate({"part": {**values, **changes}}).part


def whole() -> dict[str, Any]:
    """Return a small configuration in which all examples of the page work together."""
    solver = {"solver": used("solver"), "scale": 5.0, "iterations": 4}
    return {
        "run": "mine",
        "label": "plug-ins",
        "data": {"scans": used("dataset")},
        "models": {
            "residual": {
                "network": used("network") | {"channels": 1},
                "data": "scans",
                "augment": used("augment"),
                "sigma": 0.1,
                "seed": 0,
                "batch_size": 4,
                "crops": 2,
                "patch": 32,
                "phases": [{"loss": used("loss"), "steps": 5, "lr": 1e-3}],
                "logging": {"every": 1, "validation_images": 2},
            }
        },
        "methods": {
            "median": {"title": "Median", "prox": used("prox"), **solver},
            "learned": {"title": "Residual", "prox": {"model": "residual"}, **solver},
        },
        "experiments": {
            "mri": {
                "title": "MRI",
                "table": "mri",
                "data": "scans",
                "images": 2,
                "operator": used("operator"),
                "noise": 0.01,
                "seed": 0,
                "clip": True,
                "shown": [0, 1],
                "methods": ["median", "learned"],
            }
        },
        "make": ["mri"],
    }
