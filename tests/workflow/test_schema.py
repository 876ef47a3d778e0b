"""What a configuration holds: every part is described, and knows its names and data."""

import typing
from collections.abc import Iterator
from typing import Any

import document
import pytest
from pydantic import ValidationError
from schema import Config, Curves, Grid, Imported, Model, Perturbation, Priors

from lpn.data.celeba import CelebA
from lpn.data.mnist import MNIST
from lpn.settings import KINDS, Component, Settings, component, names

from .conftest import TINY

RUN = {"run": "a", "label": "b", "make": []}
SOURCE = {"network": "lpn_28", "data": "mnist", "sigma": 0.1, "source": "https://example.org/model.pt"}


def classes(annotation: Any) -> Iterator[type[Settings]]:
    """Yield the classes of settings in the type of a setting, and in the types of their settings."""
    if isinstance(annotation, type) and issubclass(annotation, Component):
        return
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
        for field in annotation.model_fields.values():
            yield from classes(field.annotation)
    for part in typing.get_args(annotation):
        yield from classes(part)


def test_all_settings_are_on_the_page() -> None:
    assert {*classes(Config)} == {*document.SECTIONS.values()}
    assert document.PLACES.keys() == KINDS.keys()


@pytest.mark.parametrize(
    "settings",
    [*document.SECTIONS.values(), *(component(kind, name) for kind in KINDS for name in names(kind))],
    ids=lambda settings: f"{settings.__module__}.{settings.__name__}",
)
def test_every_setting_is_described(settings: type[Settings]) -> None:
    assert settings.__doc__
    for name, field in settings.model_fields.items():
        assert field.description, f"{settings.__name__}.{name}"


def test_data_sets_by_name() -> None:
    config = Config.model_validate(RUN | {"data": {"celeba": {"name": "celeba", "count": 3}, "mine": "mnist"}})
    assert config.dataset("celeba") == CelebA(count=3)
    assert config.dataset("mine") == config.dataset("mnist") == MNIST()
    assert config.datasets[:2] == ["celeba", "mine"]
    assert sorted(config.datasets) == sorted({*names("dataset"), "mine"})
    with pytest.raises(ValidationError, match="path"):
        config.dataset("folder")


def test_a_model_is_imported_if_it_has_a_source() -> None:
    models = Config.model_validate(
        RUN | {"models": {"there": SOURCE | {"sha256": "0" * 64}, "here": TINY["models"]["mnist"] | {"source": None}}}
    ).models
    assert isinstance(models["there"], Imported)
    assert isinstance(models["here"], Model)
    with pytest.raises(ValidationError, match="unknown key 'sorce'"):
        Config.model_validate(RUN | {"models": {"there": SOURCE | {"sorce": 1}}})


def test_models_of_evaluations_are_named_once() -> None:
    grid = Grid(low=-1, high=1, points=2)
    curves = Curves(grid=grid, shown=1, figures={"one": ["a", "b"], "two": ["b", "c"]}, others=["d", "a"])
    assert curves.models == ["a", "b", "c", "d"]
    perturbation = Perturbation(levels=[0], rows=[0], symbol="s")
    assert Priors(model="a", others=["b"], images=1, seed=0, perturbations={"blur": perturbation}).models == ["a", "b"]
