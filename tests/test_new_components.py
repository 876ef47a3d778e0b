"""A new component of each kind is one new file: inside the package it is found by its name, and outside by FILE.py:CLASS."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from workflow.conftest import TINY, Checker

from lpn.settings import KINDS, component, describe, names

CLASSES = {  # the least that makes a component of each kind
    "operator": """
from lpn.operators import OperatorSettings


class Novel(OperatorSettings):
    {size}
""",
    "prox": """
from lpn.denoisers import Denoiser


class Novel(Denoiser):
    {size}

    def __call__(self, v):
        return v / self.size
""",
    "solver": """
from lpn.solvers import Iterate, Solver


class Novel(Solver):
    {size}

    def iterates(self, problem, prox, x):
        while True:
            zero = x.new_zeros(len(x))
            yield Iterate(x, x, x, zero, zero, zero)
""",
    "network": """
from lpn.networks import NetworkSettings


class Novel(NetworkSettings):
    {size}

    @property
    def input_shape(self):
        return (3, None, None)
""",
    "loss": """
from lpn.losses import Loss


class Novel(Loss):
    {size}

    def __call__(self, residual):
        return self.size * residual.abs().mean()
""",
    "augment": """
from lpn.augmentations import Augmentation


class Novel(Augmentation):
    {size}
""",
    "dataset": """
from lpn.data import DataSet


class Novel(DataSet):
    {size}

    @property
    def channels(self):
        return 3

    def sizes(self, split):
        return [(16 * self.size, 16 * self.size, 5)]
""",
}
SIZE = 'size: PositiveInt = Field(2, description="how large the new thing is")'


def write(path: Path, kind: str) -> None:
    """Write a file with a new component."""
    code = CLASSES[kind].format(size=SIZE).strip()
    path.write_text(f'"""Something new."""\n\nfrom pydantic import Field, PositiveInt\n{code}\n')


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name: that of a new file in the folder of each kind, as if it were in the package."""
    name = "novel"
    for kind, module in KINDS.items():
        package, folder = importlib.import_module(module), tmp_path / module
        folder.mkdir()
        write(folder / f"{name}.py", kind)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    yield name
    for module in KINDS.values():
        if sys.modules.pop(f"{module}.{name}", None):
            delattr(sys.modules[module], name)


@pytest.fixture
def checker(tmp_path: Path) -> Checker:
    """A checker of configurations in a new folder."""
    (tmp_path / "outside").mkdir()
    return Checker(tmp_path / "outside")


def uses(name: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration that uses a component of each kind, by what it says of it."""
    tiny = json.loads(json.dumps(TINY))
    model = tiny["models"]["dncnn"] | {key: name[key] for key in ("network", "augment")} | {"data": "new"}
    model["phases"] = [{"loss": name["loss"], "steps": 3, "lr": 1e-3}]
    method = {"title": "New", "solver": name["solver"], "prox": name["prox"], "scale": 0.5, "iterations": 2}
    learned = method | {"title": "Learned", "prox": {"model": "new"}}
    own = {"operator": name["operator"], "data": "new", "methods": ["new", "learned"]}
    return tiny | {
        "data": {"new": name["dataset"]},
        "models": {"new": model},
        "methods": {"new": method, "learned": learned},
        "experiments": {"new": tiny["experiments"]["deblur"] | own},
        "curves": {},
        "priors": {},
        "make": ["new"],
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_in_the_package_is_found_by_its_name(inside: str, kind: str) -> None:
    assert inside in names(kind)
    settings = component(kind, inside)
    assert settings().name == inside  # type: ignore[call-arg]
    assert "size: how large the new thing is (int, > 0, default: 2)" in describe(settings)


def test_names_that_start_with_an_underscore_are_no_components(inside: str, tmp_path: Path) -> None:
    write(tmp_path / "lpn.losses/_helper.py", "loss")
    assert "_helper" not in names("loss")


def test_files_in_the_package_are_on_the_page_and_in_the_schema(inside: str) -> None:
    import document

    assert document.page().count(f"### `{inside}`") == len(KINDS)
    validator = jsonschema.Draft202012Validator(document.file_schema())
    config = uses({kind: {"name": inside, "size": 3} for kind in KINDS})
    validator.validate(config)
    config = uses(dict.fromkeys(KINDS, inside))
    validator.validate(config)
    for kind in KINDS:
        wrong = uses({other: {"name": inside} | ({"sizze": 3} if other == kind else {}) for other in KINDS})
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(wrong)


@pytest.mark.parametrize("alone", [False, True])
def test_files_in_the_package_are_used_by_a_configuration(inside: str, checker: Checker, alone: bool) -> None:
    complete = checker.complete(uses(dict.fromkeys(KINDS, inside if alone else {"name": inside, "size": 2})))
    config, whole = complete["config"], {"name": inside, "size": 2}
    model, experiment = config["models"]["new"], config["experiments"]["new"]
    assert config["data"]["new"] == model["network"] == model["augment"] == model["phases"][0]["loss"] == whole
    assert experiment["operator"] == experiment["methods"]["new"]["solver"] == whole
    assert experiment["methods"]["new"]["prox"] == whole | {"clip": False}
    assert complete["files"] == []
    assert complete["facts"]["certifiable"] == []


@pytest.mark.parametrize("alone", [False, True])
def test_the_same_files_outside_are_used_by_their_paths(checker: Checker, alone: bool) -> None:
    for kind in KINDS:
        write(checker.folder / f"novel_{kind}.py", kind)
    named = {kind: f"novel_{kind}.py:Novel" for kind in KINDS}
    complete = checker.complete(uses(named if alone else {kind: {"name": name, "size": 2} for kind, name in named.items()}))
    assert complete["files"] == sorted(f"{checker.folder}/novel_{kind}.py" for kind in KINDS)
    settings = component("loss", f"{checker.folder}/novel_loss.py:Novel")
    assert "size: how large the new thing is (int, > 0, default: 2)" in describe(settings)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["inside", "outside"])
def test_their_settings_are_checked(inside: str, checker: Checker, place: str, kind: str) -> None:
    from configuration import ConfigurationError

    for each in KINDS:
        write(checker.folder / f"novel_{each}.py", each)
    named = {each: {"name": inside if place == "inside" else f"novel_{each}.py:Novel"} for each in KINDS}
    for settings, sentence in (
        ({"sizze": 3}, "unknown key 'sizze'; did you mean 'size'?"),
        ({"size": 0}, "is 0: input should be"),
    ):
        with pytest.raises(ConfigurationError) as error:
            checker.complete(uses(named | {kind: named[kind] | settings}))
        assert sentence in str(error.value)
