"""Files of configurations: how they are read, laid over each other and kept, and what a run gets of them."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import check
import configuration
import pytest
from configuration import (
    SECTIONS,
    ConfigurationError,
    collect,
    expand,
    inherit,
    known,
    lay,
    read_yaml,
    repetitions,
    resolve,
)
from pydantic import ValidationError

from lpn.published import Experiment, Published
from lpn.settings import Located

from .conftest import ROOT, TINY, Checker

FILES = [path for folder in ("config", "workflow") for path in sorted((ROOT / folder).rglob("*.yaml"))]


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Return (text, name) -> a file."""

    def make(text: str, name: str = "mine.yaml") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the papers' definitions."""
    folder = tmp_path / "library"
    folder.mkdir()
    monkeypatch.setattr(configuration, "LIBRARY", folder)
    return folder


# files


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_files_give_no_key_twice(path: Path) -> None:
    assert read_yaml(path)


def test_yaml_is_that_of_version_1_2(file: Callable[..., Path]) -> None:
    content = read_yaml(file("lr: 1e-3\nlarge: 1E5\nname: on\nnumber: 012\n1: [yes, null]\n"))
    assert content == {"lr": 1e-3, "large": 1e5, "name": "on", "number": 12, "1": ["yes", None]}
    assert isinstance(content["lr"], float)


def test_strings_know_their_folder(file: Callable[..., Path]) -> None:
    path = file("a: [{b: text}]\n")
    text = read_yaml(path)["a"][0]["b"]
    assert isinstance(text, Located)
    assert text.folder == path.parent


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "run: mine\nmodels:\n  mnist: {sigma: 0.2}\nmake: []\nmodels:\n  mnist: {seed: 3}\n",
            r'mine.yaml can\'t be read: .*duplicate key "models".*line 5.*\. The first value would be lost: write both',
        ),
        (
            "models: {mnist: {seed: 1, seed: 2}}",
            r"line 1, column .*The first value would be lost: write both parts under one key\.$",
        ),
        ("a: [1", r"mine.yaml can't be read: while parsing a flow sequence"),
        ("a: !!python/name:os.system", "can't be read: could not determine a constructor"),
        ("- a\n", "mine.yaml must hold keys with values, not list."),
        ("", "mine.yaml must hold keys with values, not NoneType."),
        ("a: \x01", "mine.yaml can't be read"),
    ],
)
def test_files_that_can_not_be_read_are_named(file: Callable[..., Path], text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_yaml(file(text))


def test_a_file_of_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes("label: Maße".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"mine.yaml can't be read: 'utf-8' codec .*\. Save it as UTF-8\.$"):
        read_yaml(tmp_path / "mine.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="mine.yaml can't be read: .*No such file"):
        read_yaml(tmp_path / "mine.yaml")


# inheritance


@pytest.mark.parametrize(
    ("base", "own", "result"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4}}, {"a": 1, "b": {"c": 4, "d": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"solver": {"name": "admm", "rho": 1}}, {"solver": {"rho": 2}}, {"solver": {"name": "admm", "rho": 2}}),
        ({"solver": {"name": "admm", "rho": 1}}, {"solver": {"name": "pgd"}}, {"solver": {"name": "pgd"}}),
        ({"solver": {"name": "admm", "rho": 1}}, {"solver": "pgd"}, {"solver": "pgd"}),
        ({"solver": "pgd"}, {"solver": {"step": 1}}, {"solver": {"name": "pgd", "step": 1}}),
        ({"prox": {"name": "tv", "weight": 1}}, {"prox": {"model": "a"}}, {"prox": {"model": "a"}}),
        ({"prox": {"model": "a", "clip": True}}, {"prox": {"model": "b"}}, {"prox": {"model": "b", "clip": True}}),
        ({"tune": {"scale": [1]}}, {"tune": {"solver.rho": [1]}}, {"tune": {"solver.rho": [1]}}),
        ({"tuning": {"data": "a", "crop": 8}}, {"tuning": {"images": 2}}, {"tuning": {"images": 2}}),
    ],
)
def test_lay(base: dict[str, Any], own: dict[str, Any], result: dict[str, Any]) -> None:
    assert lay(base, own) == result


def test_lay_changes_nothing_of_what_it_is_given() -> None:
    base, own = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert lay(base, own) == {"a": {"b": 1, "c": 2}}
    assert (base, own) == ({"a": {"b": 1}}, {"a": {"c": 2}})


def test_definitions_inherit() -> None:
    definitions = {"c": {"like": "b", "z": 3}, "b": {"like": "a", "y": 2}, "a": {"x": 1, "y": 1}, "d": 5}
    assert inherit(definitions, "models") == {
        "c": {"x": 1, "y": 2, "z": 3},
        "b": {"x": 1, "y": 2},
        "a": {"x": 1, "y": 1},
        "d": 5,
    }


@pytest.mark.parametrize(
    ("definitions", "message"),
    [
        ({"a": {"like": "a"}}, "key 'models.a.like': a -> a is a cycle."),
        ({"a": {"like": "b"}, "b": {"like": "c"}, "c": {"like": "b"}}, "key 'models.a.like': a -> b -> c -> b is a cycle."),
        ({"lpn": {"like": "lnp"}}, "key 'models.lpn.like' names 'lnp', which does not exist; did you mean 'lpn'?"),
        ({"a": {"like": None}}, "key 'models.a.like' names 'None', which does not exist; there are: a."),
    ],
)
def test_faulty_inheritance_is_named(definitions: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        inherit(definitions, "models")


def test_known_names() -> None:
    assert known("a", {"a": 1}, "key") == "a"
    with pytest.raises(ConfigurationError, match="key 'x.y' names 'a', which does not exist; there are: none."):
        known("a", (), "x.y")


# several files


def test_files_add_to_each_other_in_any_order(library: Path, file: Callable[..., Path]) -> None:
    (library / "paper.yaml").write_text("models: {paper: {seed: 0}}\nmethods:\n")
    one = file("run: one\nmake: [a, b]\nmodels: {one: {seed: 1}}\n", "one.yaml")
    two = file("label: two\nmake: c\nmodels: {two: {seed: 2}}\n", "two.yaml")
    config = collect([one, two], {})
    assert config["models"] == {"paper": {"seed": 0}, "one": {"seed": 1}, "two": {"seed": 2}}
    assert (config["run"], config["label"], config["make"]) == ("one", "two", ["a", "b", "c"])
    assert config["own"] == ["models.one", "models.two"]
    assert config["methods"] == {}
    assert config | {"make": 0, "own": 0} == collect([two, one], {}) | {"make": 0, "own": 0}


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        ("models: {mnist: {seed: 0}}", "models: {mnist: {seed: 1}}", "models.mnist"),
        ("run: a", "run: b", "run"),
        ("certificate: {points: 2}", "certificate: {seed: 1}", "certificate"),
    ],
)
def test_two_files_can_not_define_the_same(
    library: Path, file: Callable[..., Path], first: str, second: str, key: str
) -> None:
    (library / "paper.yaml").write_text(first)
    with pytest.raises(
        ConfigurationError, match=f"key '{key}' is defined by .*paper.yaml and by .*mine.yaml. Give one another name"
    ):
        collect([file(second)], {})


@pytest.mark.usefixtures("library")
def test_overrides_replace_settings_of_the_run(file: Callable[..., Path]) -> None:
    path = file("run: mine\nmake: [a]\n")
    config = collect([path], {"run": "other", "make": "b"})
    assert (config["run"], config["make"]) == ("other", "b")
    with pytest.raises(
        ConfigurationError, match="key 'models' can't be set by --config, which replaces it as a whole. Write it"
    ):
        collect([path], {"models": {}})


# methods and what is made


def expanded(**update: object) -> dict[str, Any]:
    """Return the tiny configuration, expanded after an update."""
    return expand({"curves": {}, "priors": {}, **lay(TINY, update)})


def test_methods_are_laid_over_the_shared_ones() -> None:
    listed = [
        "observation",
        {"tv": {"tune": None, "prox": {"weight": 1}}},
        {"other": {"like": "tv", "scale": 2, "tune": {"scale": [1, 2]}}},
    ]
    methods = expanded(experiments={"deblur": {"methods": listed}})["experiments"]["deblur"]["methods"]
    assert list(methods) == ["observation", "tv", "other"]
    assert methods["tv"] == TINY["methods"]["tv"] | {"tune": None, "prox": {"name": "tv", "weight": 1}}
    assert methods["other"] == TINY["methods"]["tv"] | {"scale": 2, "tune": {"scale": [1, 2]}}


def test_experiments_inherit_the_list_of_methods() -> None:
    experiments = expanded(experiments={"second": {"like": "deblur", "title": "Second"}})["experiments"]
    assert experiments["second"] == experiments["deblur"] | {"title": "Second"}


@pytest.mark.parametrize(
    ("make", "made"),
    [
        (["laplacian", "deblur"], ["laplacian", "deblur"]),
        ("mnist", ["mnist"]),
        (["*"], ["deblur", "mnist", "laplacian"]),
        (["d*", "deblur"], ["deblur"]),
    ],
)
def test_make_lists_names_and_patterns(make: list[str] | str, made: list[str]) -> None:
    assert expanded(make=make)["make"] == made


# repetitions


def test_headline_models_are_repeated_with_further_seeds() -> None:
    """A model that starts from another one is repeated from that one's repetition."""
    changes = {"laplacian": {"figures": {"compact": ["laplacian_pm"]}, "seeds": [2, 3], "others": ["laplacian_l2"]}}
    config = expanded(curves=changes, priors={"mnist": {"model": "mnist", "seeds": [7]}})
    models, own = config["models"], TINY["models"]
    assert models["laplacian_pm_seed2"] == own["laplacian_pm"] | {"seed": 2, "init": "laplacian_l2_seed2"}
    assert models["laplacian_l2_seed3"] == own["laplacian_l2"] | {"seed": 3}
    assert models["mnist_seed7"] == own["mnist"] | {"seed": 7}
    assert config["curves"]["laplacian"]["others"] == ["laplacian_l2", "laplacian_pm_seed2", "laplacian_pm_seed3"]
    assert config["priors"]["mnist"]["others"] == ["mnist_seed7"]
    assert repetitions(config["priors"]["mnist"]) == {"mnist_seed7": "mnist"}


@pytest.mark.parametrize(
    ("seeds", "models", "message"),
    [
        ([0], {}, "key 'priors.mnist.seeds' lists 0, but 'mnist' is trained with that seed, or with none"),
        ([7], {"mnist": {"source": "m.pt", "seed": 7}}, "is trained with that seed, or with none"),
        ([7], {"mnist_seed7": {"source": "m.pt"}}, "key 'models.mnist_seed7' has the name of a repetition"),
    ],
)
def test_seeds_that_repeat_nothing_are_refused(seeds: list[int], models: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        expanded(priors={"mnist": {"model": "mnist", "seeds": seeds}}, models=models)


def test_repeated_models_are_trained_and_evaluated_for_the_table(checker: Checker) -> None:
    config = checker.tiny({"priors": {"mnist": {"seeds": [7]}}})["config"]
    assert config["models"]["mnist_seed7"]["seed"] == 7
    assert config["priors"]["mnist"]["others"] == ["mnist_seed7"]


# complete configurations


@pytest.fixture(scope="module")
def shipped() -> Callable[[str], dict[str, Any]]:
    """Return (name) -> a complete shipped configuration."""
    done: dict[str, dict[str, Any]] = {}

    def shipped(name: str) -> dict[str, Any]:
        if name not in done:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("LPN_DATA", "data")
                done[name] = check.complete([ROOT / f"config/{name}.yaml"], {})
        return done[name]

    return shipped


@pytest.mark.parametrize("name", ["paper", "demo", "subset", "examples/deepinv"])
def test_shipped_configurations_are_valid(shipped: Callable[[str], dict[str, Any]], name: str) -> None:
    complete = shipped(name)
    assert complete["config"]["run"] == Path(name).name
    assert json.loads(json.dumps(complete)) == complete


def test_the_paper_makes_all_that_its_files_define(shipped: Callable[[str], dict[str, Any]]) -> None:
    defined = collect([], {})
    config = shipped("paper")["config"]
    for section in ("curves", "priors", "experiments"):
        assert set(config[section]) == set(defined[section])
    repeated = {new for section in ("curves", "priors") for own in config[section].values() for new in repetitions(own)}
    assert {name for name in config["models"] if "_seed" not in name} == set(defined["models"])
    assert repeated <= set(config["models"])


def test_the_subset_reduces_every_network_but_the_laplacians(shipped: Callable[[str], dict[str, Any]]) -> None:
    paper, subset = (shipped(name)["config"]["models"] for name in ("paper", "subset"))
    reduced = {name: model for name, model in subset.items() if not name.startswith("laplacian")}
    assert {name: model for name, model in subset.items() if name not in reduced} == {
        name: model for name, model in paper.items() if name.startswith("laplacian")
    }

    def steps(model: dict[str, Any]) -> int:
        return sum(phase["steps"] for phase in model["phases"])

    for name, model in reduced.items():
        full = paper[name.replace("_part", "")]
        assert steps(model) <= steps(full) / 3, name
        width = "filters" if model["network"]["name"] == "acr" else "hidden"
        assert model["network"][width] < full["network"][width], name
        assert model["sigma"] == full["sigma"], name


def test_published_problems_are_those_of_the_papers(shipped: Callable[[str], dict[str, Any]]) -> None:
    published = Published.model_validate(read_yaml(ROOT / "config/published.yaml"))
    experiments = shipped("paper")["config"]["experiments"]
    for name, problem in published.problems.items():
        own = {key: experiments[name][key] for key in ("title", "operator", "noise", "data")}
        assert problem.agrees(Experiment.model_validate(own | {"methods": {}})), name
        assert any(name in result.psnr_ssim and result.data == own["data"] for result in published.results), name


def test_a_complete_configuration_has_all_defaults_and_nothing_unused(checker: Checker) -> None:
    unused = {"models": {"unused": TINY["models"]["faces"]}, "data": {"unused": {"name": "mayo"}}}
    complete = checker.tiny(unused)
    config = complete["config"]
    assert set(config["models"]) == set(TINY["models"])
    assert config["methods"] == {}
    assert set(config["data"]) == {"celeba", "laplace", "mnist", "photographs"}
    assert config["data"]["celeba"] == {"name": "celeba", "count": None}
    assert config["models"]["mnist"]["network"] == {"name": "lpn_28", "channels": 1, "hidden": 2, "beta": 10, "alpha": 0.01}
    assert config["models"]["mnist"]["phases"] == [{"loss": {"name": "l1"}, "steps": 5, "lr": 1e-3, "final_lr": None}]
    assert config["models"]["mnist"]["logging"] == {"every": 100, "validate_every": 1000, "validation_images": 2}
    assert config["experiments"]["deblur"]["methods"]["tv"]["solver"] == {
        "name": "admm",
        "rho": 0.1,
        "order": "132",
        "box": False,
    }
    assert complete["facts"] == {
        "certifiable": ["laplacian_l2", "laplacian_pm", "mnist", "faces"],
        "drawn": ["laplace"],
        "same_everywhere": ["laplace", "mnist", "photographs"],
        "rows": {
            "deblur": {"tv": [[{"prox.weight": 0.05}], [{"prox.weight": 0.1}]]}
            | {name: [] for name in ("observation", "lpn", "dncnn", "plug_in")}
        },
        "certified": {"deblur": {"observation": "", "lpn": "prox", "dncnn": "none", "plug_in": "", "tv": ""}},
        "named": [],
    }
    assert complete["files"] == [str(checker.folder / "median.py")]


def test_files_beside_a_plug_in_are_named_with_it(checker: Checker) -> None:
    plug_in, beside = checker.folder / "plug_in.py", checker.folder / "beside_plug_in.py"
    beside.write_text("SIZE = 3\n")
    plug_in.write_text(f"import beside_plug_in\n{(checker.folder / 'median.py').read_text()}")
    complete = checker.tiny({"methods": {"plug_in": {"prox": {"name": "plug_in.py:Median"}}}})
    assert complete["files"] == [str(beside), str(plug_in)]


def test_data_sets_have_their_settings_even_if_no_file_defines_them(checker: Checker) -> None:
    by_name = checker.tiny({"models": {"dncnn": {"data": "bsds500"}}})["config"]["data"]["bsds500"]
    assert by_name == {"name": "bsds500", "grey": False, "count": 200}
    assert (
        checker.tiny({"models": {"dncnn": {"data": "mine"}}, "data": {"mine": "bsds500"}})["config"]["data"]["mine"]
        == by_name
    )


def test_a_source_replaces_the_settings_of_a_training(checker: Checker) -> None:
    (checker.folder / "model.pt").touch()
    complete = checker.tiny({"models": {"mnist": {"source": "model.pt"}, "dncnn": {"source": "https://example.org/d.pt"}}})
    assert complete["config"]["models"]["mnist"] == {
        "network": {"name": "lpn_28", "channels": 1, "hidden": 2, "beta": 10, "alpha": 0.01},
        "data": "mnist",
        "sigma": 0.1,
        "source": str(checker.folder / "model.pt"),
        "sha256": None,
    }
    assert complete["config"]["models"]["dncnn"]["source"] == "https://example.org/d.pt"
    assert str(checker.folder / "model.pt") in complete["files"]


def test_relative_paths_start_at_their_file(checker: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checker.folder)
    other = checker.folder / "configs"
    other.mkdir()
    for name in ("k.npy", "mri.py"):
        (other / name).write_text("")
    (other / "mine.yaml").write_text(
        "folder: raw\ndata: {mine: {name: folder, path: photographs}}\n"
        "experiments: {kernel: {like: deblur, operator: {name: blur, kernel: k.npy}, table: b, methods: [observation]}}\n"
        "make: [kernel]\nmodels: {new: {like: dncnn, data: mine}}\nmethods: {new: {like: dncnn, prox: {model: new}}}\n"
    )
    monkeypatch.setattr(configuration, "LIBRARY", other / "none")
    monkeypatch.setenv("LPN_DATA", "")
    monkeypatch.delenv("LPN_DATA")
    complete = check.complete([*checker.files(TINY), Path("configs/mine.yaml")], {})
    assert complete["config"]["folder"] == "configs/raw"
    assert os.environ["LPN_DATA"] == str(other / "raw")
    assert complete["config"]["experiments"]["kernel"]["operator"]["kernel"] == "configs/k.npy"
    assert complete["config"]["experiments"]["deblur"]["methods"]["plug_in"]["prox"]["name"] == "median.py:Median"
    assert complete["facts"]["named"] == ["configs/k.npy"]
    assert complete["files"] == ["configs/k.npy", "median.py"]


def test_paths_of_homes_and_variables(checker: Checker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DISK", "~/disk")
    photos = {"data": {"mine": {"name": "folder", "path": "$HOME/my photos"}}, "models": {"dncnn": {"data": "mine"}}}
    complete = checker.tiny(photos | {"folder": "${DISK}/data", "mirrors": ["~/files", "https://example.org/~a", "near"]})
    assert complete["config"]["folder"] == str(tmp_path / "disk/data")
    assert complete["config"]["mirrors"] == [str(tmp_path / "files"), "https://example.org/~a", str(checker.folder / "near")]
    assert complete["config"]["data"]["mine"]["path"] == str(tmp_path / "my photos")
    monkeypatch.setenv("LPN_DATA", "~/elsewhere")
    monkeypatch.setattr(configuration, "LIBRARY", checker.folder / "none")
    assert check.complete(checker.files(TINY), {})["config"]["folder"] == str(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("$NOWHERE/data", "key 'folder' (or LPN_DATA): $NOWHERE in the path $NOWHERE/data is unknown"),
        ("${NOWHERE}/data", "${NOWHERE} in the path ${NOWHERE}/data is unknown: set the variable, or write the whole path."),
        ("~nobody-of-that-name/data", "~nobody in the path ~nobody-of-that-name/data is unknown"),
        ("my {data}", "Snakemake can't write to paths with braces. Rename it."),
        (7, "key 'folder' is 7: input should be a valid string."),
    ],
)
def test_folders_that_can_not_be_found(checker: Checker, folder: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        checker.tiny({"folder": folder})
    if "$" in str(folder):
        with pytest.raises(ConfigurationError, match=r"key 'data.mine.*': .*NOWHERE.* is unknown: set the variable"):
            checker.tiny({"data": {"mine": {"name": "folder", "path": folder}}, "models": {"dncnn": {"data": "mine"}}})


def test_files_may_be_below_the_data_folder(checker: Checker, tmp_path: Path) -> None:
    kernel = {"experiments": {"deblur": {"operator": {"name": "blur", "kernel": "$LPN_DATA/kernels/k.npy"}}}}
    complete = checker.tiny(kernel | {"folder": str(tmp_path)})
    assert complete["facts"]["named"] == [str(tmp_path / "kernels/k.npy")]


def test_main_prints_a_complete_configuration(
    checker: Checker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(configuration, "LIBRARY", checker.folder / "none")
    monkeypatch.setenv("LPN_DATA", "data")
    monkeypatch.setattr(sys, "argv", ["check.py", *map(str, checker.files(TINY)), "--set", '{"run": "other"}'])
    check.main()
    assert json.loads(capsys.readouterr().out)["config"]["run"] == "other"


def test_main_ends_with_one_paragraph(checker: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "LIBRARY", checker.folder / "none")
    monkeypatch.setenv("LPN_DATA", "data")
    monkeypatch.setattr(sys, "argv", ["check.py", *map(str, checker.files(TINY | {"rn": "\n"}))])
    with pytest.raises(SystemExit) as ending:
        check.main()
    message = str(ending.value.code)
    assert message.startswith("error in the configuration: key 'top level': unknown key 'rn'; did you mean 'run'?")
    assert message.endswith(" Every key is explained in docs/settings.md.")
    assert "\n" not in message


# what is kept


@pytest.fixture
def checked(checker: Checker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The checks that `resolve` started: they run in this process."""
    commands: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        output = io.StringIO()
        monkeypatch.setattr(sys, "argv", command[1:])
        monkeypatch.setattr(sys, "stdout", output)
        try:
            check.main()
        except SystemExit:
            return subprocess.CompletedProcess(command, 1, "")
        finally:
            monkeypatch.setattr(sys, "stdout", sys.__stdout__)
        return subprocess.CompletedProcess(command, 0, output.getvalue())

    monkeypatch.setattr(configuration.subprocess, "run", run)
    monkeypatch.setattr(configuration, "LIBRARY", checker.folder / "none")
    monkeypatch.setenv("LPN_DATA", str(tmp_path / "data"))  # absolute: a check in this process changes nothing of it
    monkeypatch.chdir(tmp_path)
    return commands


def test_checks_are_kept_until_a_file_or_variable_changes(
    checker: Checker, checked: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = tmp_path / "k.npy"
    kernel.write_text("1")
    config = lay(TINY, {"experiments": {"deblur": {"operator": {"name": "blur", "kernel": str(kernel)}}}})
    files = checker.files(config)
    results = [resolve(files, {}, tmp_path / "cache") for _ in range(2)]
    assert results[0] == results[1]
    assert results[0]["config"]["run"] == "tiny"
    assert len(checked) == 1
    assert resolve(files, {"run": "other"}, tmp_path / "cache")["config"]["run"] == "other"
    assert len(checked) == 2
    kernel.write_text("12")
    resolve(files, {}, tmp_path / "cache")
    assert len(checked) == 3
    photos = {"data": {"mine": {"name": "folder", "path": "$PLACE/photos"}}, "models": {"dncnn": {"data": "mine"}}}
    for place in ("/a", "/b"):
        monkeypatch.setenv("PLACE", place)
        config = lay(TINY, photos)
        result = resolve(checker.files(config), {}, tmp_path / "cache")
        assert result["config"]["data"]["mine"]["path"] == f"{place}/photos"
    files = checker.files(lay(TINY, {"experiments": {"deblur": {"operator": {"name": "blur", "kernel": str(kernel)}}}}))
    assert resolve(checker.files(config | {"label": "new"}), {}, tmp_path / "cache")["config"]["label"] == "new"
    assert len(checked) == 6


def test_faulty_configurations_end_the_program(checker: Checker, checked: list[list[str]], tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(SystemExit):
            resolve(checker.files(TINY | {"rn": 1}), {}, tmp_path / "cache")
    assert len(checked) == 2  # nothing is kept of them


# what people read


def test_the_documented_example_is_valid(file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE | re.DOTALL)
    monkeypatch.setenv("LPN_DATA", "data")
    (example,) = (block for block in blocks if block.startswith("run:"))
    config = check.complete([file(example)], {})["config"]
    assert config["make"]
    assert config["make"] == [*config["curves"], *config["priors"], *config["experiments"]]


def test_targets_of_documented_commands_are_no_configurations() -> None:
    """Snakemake takes everything after --configfile up to the next option as configurations."""
    texts = [path.read_text() for path in (*ROOT.glob("*.md"), *ROOT.glob("config/*.md"), *ROOT.glob("docs/*.md"))]
    commands = [command for text in texts for command in re.findall(r"(?:^|`)(snakemake [^`#\n]*)", text, re.MULTILINE)]
    assert len(commands) > 5
    for command in commands:
        for files in re.findall(r"--configfile ((?:[^-\s]\S*\s*)*)", command):
            assert all(file.endswith(".yaml") for file in files.split()), command


def test_sections_are_those_of_the_schema() -> None:
    from schema import Config

    assert set(SECTIONS) < set(Config.model_fields)
    with pytest.raises(ValidationError):
        Config.model_validate({"run": "a", "label": "", "make": [], "modles": {}})


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["run: 'mine'\nlabel: x\nmake: laplacian\n"], "mine"),
        (["methods: {extra: {title: Extra}}\n", 'run: "mine"  # a comment\nlabel: x\nmake: laplacian\n'], "mine"),
        (["label: x\nmake: laplacian\n"], None),
    ],
)
def test_the_name_of_a_run(checker: Checker, texts: list[str], name: str | None) -> None:
    folder = checker.folder / "a folder's"
    folder.mkdir(exist_ok=True)
    files = [path.rename(folder / path.name) for path in checker.files(*texts)]
    command = [sys.executable, str(configuration.ROOT / "workflow/configuration.py"), *map(str, files)]
    run = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert run.stdout == (f"{name}\n" if name else "")
    assert ("lacks 'run'" in run.stderr) == (name is None)
