"""Faulty configurations are refused at once, by name."""

import copy
import inspect
import itertools
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import pywt
import yaml
from PIL import Image
from snakemake.utils import update_config

from .conftest import ROOT, TINY, Project

sys.path.insert(0, str(ROOT / "workflow"))

from config_check import (
    CHANNELS,
    DATA_NETWORKS,
    LPNS,
    METHOD_KEYS,
    NETWORK_KEYS,
    OPERATOR_KEYS,
    PROX_KEYS,
    SOLVER_KEYS,
    apply_switches,
    check_config,
    check_unique_keys,
    merge,
)

from lpn.data import AUGMENTATIONS
from lpn.denoisers import DENOISERS
from lpn.networks import LPN, NETWORKS, build_network
from lpn.operators import OPERATORS
from lpn.solvers import SOLVERS
from lpn.sources import DATASETS

NEW = {"network": {"name": "lpn_28"}, "data": "mnist", "sigma": 0.1}  # what is needed beside a source
NLM = {"title": "Other", "solver": "admm", "prox": {"name": "nlm", "sigma": 0.1}, "rho": 1.0, "scale": 1.0, "iterations": 2}
DEBLUR = TINY["inverse"]["experiments"]["deblur"]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"


def merged(base: dict, update: dict) -> dict:
    """Lay `update` over `base` as Snakemake does, which shares no part of what an alias names."""
    result = json.loads(json.dumps(base))
    update_config(result, update)
    return result


@pytest.mark.parametrize("name", ["config", "demo", "subset"])
def test_shipped_configurations_are_valid(name: str) -> None:
    paper = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config = merged(paper, yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()))
    apply_switches(config)
    check_config(config, SCHEMA)


def test_subset_reduces_every_network_but_the_laplacians() -> None:
    paper, subset = (yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())["models"] for name in ("config", "subset"))
    assert set(subset) == {name for name in paper if not name.startswith("laplacian")}

    def steps(model: dict) -> int:
        return sum(phase["steps"] for phase in model["phases"])

    assert all(steps(subset[name]) <= steps(paper[name]) / 3 for name in subset)
    assert all(subset[name]["network"].get("hidden", 0) < paper[name]["network"]["hidden"] for name in subset)


def test_configurations_know_what_the_package_has() -> None:
    schema = yaml.safe_load(SCHEMA.read_text())
    model, method = schema["$defs"]["model"]["properties"], schema["$defs"]["method"]["properties"]
    experiment = schema["properties"]["inverse"]["properties"]["experiments"]["additionalProperties"]["properties"]

    def names(description: dict) -> set[str]:
        return set(description["enum"])

    assert names(model["network"]["properties"]["name"]) == NETWORKS.keys()
    assert {name for name in NETWORKS if isinstance(build_network({"name": name}), LPN)} == set(LPNS)
    assert names(model["augment"]) == AUGMENTATIONS.keys() - {None}
    assert names(model["data"]) | names(experiment["data"]) == (DATASETS.keys() | {"laplace"}) - {"kernels"}
    assert CHANNELS.keys() == DATASETS.keys() - DATA_NETWORKS.keys() - {"kernels"}
    assert names(method["solver"]) == SOLVERS.keys() | {"observation"}
    assert names(method["prox"]["properties"]["name"]) == DENOISERS.keys()
    for name, denoiser in DENOISERS.items():
        needed, optional = PROX_KEYS[name]
        parameters = inspect.signature(denoiser).parameters
        assert set(parameters) == needed | optional
        assert {key for key, parameter in parameters.items() if parameter.default is parameter.empty} == needed
    prox_keys = {"name", "model", "clip"}.union(*itertools.chain(*PROX_KEYS.values()))
    assert set(method["prox"]["properties"]) == prox_keys
    assert names(experiment["operator"]["properties"]["name"]) == OPERATORS.keys() == OPERATOR_KEYS.keys()
    assert set(experiment["operator"]["properties"]) == {"name"}.union(*itertools.chain(*OPERATOR_KEYS.values()))
    assert {name: set(inspect.signature(build).parameters) for name, build in NETWORKS.items()} == NETWORK_KEYS
    for name, (needed, optional) in SOLVER_KEYS.items():
        options = [p for p in inspect.signature(SOLVERS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]
        assert {p.name for p in options} == {"splits" if key == "box" else key for key in needed | optional}
        assert {p.name for p in options if p.default is p.empty} == needed
    assert set(method) == METHOD_KEYS.union(*(needed | optional for needed, optional in SOLVER_KEYS.values()))


def test_wavelets_are_orthogonal() -> None:
    family = yaml.safe_load(SCHEMA.read_text())["$defs"]["method"]["properties"]["prox"]["properties"]["family"]
    for name in pywt.wavelist(kind="discrete"):
        assert bool(re.match(family["pattern"], name)) == pywt.Wavelet(name).orthogonal, name


def test_every_key_is_described() -> None:
    def walk(schema: dict, place: str) -> None:
        for key, value in schema.get("properties", {}).items():
            if isinstance(value, dict):
                assert value.get("description"), f"{place}.{key} has no description"
                walk(value, f"{place}.{key}")
        for part in ("additionalProperties", "items"):
            if isinstance(schema.get(part), dict):
                walk(schema[part], f"{place}.*")

    schema = yaml.safe_load(SCHEMA.read_text())
    walk(schema, "config")
    walk(schema["$defs"]["model"], "models.*")
    walk(schema["$defs"]["method"], "inverse.methods.*")


def test_every_key_is_explained_to_people() -> None:
    text = (ROOT / "config/README.md").read_text()
    schema = yaml.safe_load(SCHEMA.read_text())
    for section in ("certificate", "laplacian", "mnist", "data", "inverse"):
        for key in schema["properties"][section]["properties"]:
            assert f"`{key}`" in text or f"`{section}.{key}" in text, f"{section}.{key}"
    experiment = schema["properties"]["inverse"]["properties"]["experiments"]["additionalProperties"]
    for part in (schema["$defs"]["model"], schema["$defs"]["method"], experiment):
        for key in part["properties"]:
            assert f"`{key}`" in text, key


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"lapalcian": {}}, r"unknown key 'lapalcian'.*did you mean 'laplacian'"),
        ({"models": {"mnist": {"batchsize": 3}}}, r"unknown key 'batchsize' \(models\.mnist\); did you mean 'batch_size'"),
        ({"models": {"mnist": {"network": {"width": 3}}}}, r"unknown key 'width' \(models\.mnist\.network\)"),
        ({"models": {"mnist": {"sigma": "a lot"}}}, r"'models\.mnist\.sigma': 'a lot' is not of type 'number'"),
        ({"models": {"mnist": {"sigma": 0}}}, r"'models\.mnist\.sigma'"),
        ({"models": {"mnist": {"phases": [{"loss": "l1", "steps": 1, "lr": 1, "gamma": [1]}]}}}, r"phases\.0"),
        ({"models": {"mnist": {"phases": [{"loss": "proximal_matching", "steps": 1, "lr": 1}]}}}, r"phases\.0.*gamma"),
        ({"models": {"laplacian_pm": {"init": "lost"}}}, r"'models\.laplacian_pm\.init' names the model 'lost'"),
        ({"models": {"laplacian_l2": {"init": "laplacian_pm"}}}, r"circle"),
        ({"mnist": {"model": "laplacian_l2"}}, r"'mnist\.model'.*not trained on mnist data"),
        ({"laplacian": {"figures": {"compact": ["x"]}}}, r"'laplacian\.figures\.compact' names the model 'x'"),
        ({"mnist": {"perturbations": {"gaussian": {"rows": [9]}}}}, r"rows' shows image 9, but 'mnist\.images' is 4"),
        ({"models": {"mnist": {"network": {"channels": 3}}}}, r"'models\.mnist\.network' does not fit the data mnist"),
        ({"models": {"laplacian_pm": {"network": {"hidden": 5}}}}, r"'models\.laplacian_pm\.network' differs from"),
        (
            {"models": {"mnist": {"phases": [{"loss": "proximal_matching", "steps": 1, "lr": 1, "gamma": [2, 1]}]}}},
            r"'models\.mnist\.phases\.0': 1 steps can't hold 2 values",
        ),
        ({"models": {"mnist": {"source": "nowhere.pt"}}}, r"'models\.mnist\.source' names the file nowhere\.pt"),
        ({"laplacian": {"sensitivity": ["mnist"]}}, r"'laplacian\.sensitivity'.*not trained on laplace data"),
        ({"mnist": {"sensitivity": ["laplacian_l2"]}}, r"'mnist\.sensitivity'.*not trained on mnist data"),
        ({"models": {"mnist": {"validate_every": 150}}}, r"'models\.mnist\.validate_every' must be a multiple"),
        ({"run": "../elsewhere"}, r"'run'"),
        ({"models": {"faces": {"network": {"channels": 1}}}}, r"'models\.faces\.network' does not fit the data celeba"),
        ({"models": {"faces": {"patch": 8}}}, r"'models\.faces\.patch' is the side of training patches"),
        ({"models": {"faces": {"crops": 4}}}, r"'models\.faces\.batch_size' must be a multiple of 'crops'"),
        (
            {"models": {"faces": {"network": {"channels": 3, "name": "gradient_step"}, "patch": 9}}},
            r"faces\.patch' must be even",
        ),
        ({"inverse": {"methods": {"dncnn": {"rho": 0.1}}}}, r"dncnn\.rho' is none of the solver pgd"),
        ({"inverse": {"methods": {"tv": {"tune": {"tv": [1]}}}}}, r"methods\.tv\.tv' is none of the solver admm"),
        ({"inverse": {"experiments": {"deblur": {"shown": [7]}}}}, r"deblur\.shown' shows image 7, but .* has 3"),
        ({"inverse": {"experiments": {"deblur": {"methods": {"x": {}}}}}}, r"deblur\.methods\.x' has no 'solver'"),
        ({"inverse": {"methods": {"lpn": {"prox": {"model": "x"}}}}}, r"lpn\.prox\.model' names the model 'x'"),
        ({"inverse": {"methods": {"lpn": {"prox": {"model": "mnist"}}}}}, r"takes images of another number of channels"),
        (
            {"inverse": {"methods": {"dncnn": {"prox": {"strength": 0.5}}}}},
            r"prox\.strength' is none of other networks, which have precision",
        ),
        ({"inverse": {"methods": {"lpn": {"prox": {"sigma": 0.5}}}}}, r"lpn\.prox\.sigma' is none of LPNs, which have mode"),
        ({"inverse": {"methods": {"tv": {"tune": {"prox.sigma": [1]}}}}}, r"tv\.prox\.sigma' is none of tv, which have"),
        ({"inverse": {"methods": {"tv": {"tune": {"scale": [0, 1]}}}}}, r"tv\.tune\.scale\.0': 0 is less than or equal to"),
        ({"inverse": {"methods": {"lpn": {"tune": {"prox.strength": [2]}}}}}, r"prox\.strength\.0': 2 is greater than"),
        (
            {"inverse": {"methods": {"lpn": {"prox": {"strength": 0.5, "mode": "paper"}}}}},
            r"prox\.strength' is for learned proximal networks in exact mode",
        ),
        (
            {"inverse": {"experiments": {"deblur": {"methods": {"tv": {"prox": {"weight": 0.5}}}}}}},
            r"deblur\.methods\.tv\.prox\.weight' has no effect.* set '.*methods\.tv\.tune' to null",
        ),
        (
            {"inverse": {"experiments": {"deblur": {"methods": {"lpn": {"title": "TV"}}}}}},
            r"deblur\.methods\.lpn\.title' is that of 'tv' too",
        ),
        (
            {"inverse": {"experiments": {"deblur": {"operator": {"name": "identity"}}}}},
            r"deblur\.operator\.sigma' is none of identity, which has no settings; null removes a key",
        ),
        (
            {"models": {"mnist": {"network": {"depth": 3}}}},
            r"models\.mnist\.network\.depth' is none of lpn_28, which has alpha",
        ),
        ({"models": {"mnist": {"sigma": "1e-3"}}}, r"models\.mnist\.sigma': 1e-3 is text in YAML.* as 1\.0e-3"),
        ({"inverse": {"experiments": {"deblur": {"table": "published"}}}}, r"deblur\.table'"),
        ({"models": {"new": NEW}}, r"'models\.new': 'seed' .* 'batch_size' .* 'phases' .* 'validation_images'"),
        (
            {"models": {"dncnn": {"network": {"name": "gradient_step"}, "patch": 8, "compile": True}}},
            r"dncnn\.compile' is not for gradient_step",
        ),
        ({"inverse": {"methods": {"lpn": {"prox": {"name": "tv"}}}}}, r"either a 'model' or a classical denoiser"),
        ({"inverse": {"experiments": {"deblur": {"operator": {"kernl": 1}}}}}, r"unknown key 'kernl'"),
        (
            {"inverse": {"experiments": {"deblur": {"operator": {"name": "circular_blur", "kernel": "box"}}}}},
            r"deblur\.operator' must name a kernel.* it is box with sigma",
        ),
        (
            {"inverse": {"experiments": {"deblur": {"operator": {"name": "circular_blur", "sigma": 1}}}}},
            r"deblur\.operator' lacks 'kernel'",
        ),
        ({"inverse": {"experiments": {"deblur": {"data": "kodak"}}}}, r"tv\.tune' needs validation images, which kodak has"),
        (
            {"inverse": {"experiments": {"deblur": {"tuning": {"data": "bsds500_grey"}}}}},
            r"tuning\.data': bsds500_grey has images of another number of channels than celeba",
        ),
        (
            {"inverse": {"experiments": {"deblur": {"data": "set11", "operator": {"name": "bayer"}}}}},
            r"a Bayer mosaic takes colour images; those of set11 are grey",
        ),
        ({"models": {"mnist": {"sigma": float("nan")}}}, r"'models\.mnist\.sigma': nan is not of type 'number'"),
        ({"models": {"mnist": {"sigma": float("inf")}}}, r"'models\.mnist\.sigma': inf is not of type 'number'"),
        ({"mnist": {"images": 4.0}}, r"'mnist\.images': 4\.0 is not of type 'integer'"),
        ({"mnist": {"images": "1e3"}}, r"'mnist\.images': 1e3 is text in YAML\. Write it in full, as 1000\."),
        ({"inverse": {"methods": {"lpn": {"prox": {"stride": 3}}}}}, r"lpn\.prox\.stride' is 3; it must divide 16"),
        ({"inverse": {"methods": {"lpn": {"prox": {"stride": 17, "mode": "paper"}}}}}, r"stride' is 17; it must be at"),
        ({"inverse": {"methods": {"lpn": {"prox": {"model": "laplacian_l2"}}}}}, r"'laplacian_l2' takes numbers"),
        (
            {"models": {"faces": {"network": {"size": 256}}}, "inverse": {"methods": {"lpn": {"prox": {"mode": "paper"}}}}},
            r"'faces' has patches of 256x256; in mode paper they must fit into the images, of 128 pixels",
        ),
        (
            {
                "models": {"dncnn": {"network": {"name": "gradient_step"}, "data": "bsds500"}},
                "inverse": {"experiments": {"deblur": {"data": "bsds500"}}},
            },
            "'dncnn' takes images of even sides; those of bsds500 have 321",
        ),
        ({"inverse": {"methods": {"lpn": {"order": "111"}}}}, r"lpn\.order': '111' is not one of \['123', '132'"),
        (
            {"inverse": {"experiments": {"deblur": {"methods": {"x": NLM | {"prox": {"name": "nlm"}}}}}}},
            r"methods\.x\.prox' lacks 'sigma'",
        ),
        (
            {"inverse": {"experiments": {"deblur": {"methods": {"observation": {"tune": {"rho": [1, 2]}}}}}}},
            r"methods\.observation\.tune' is none of an observation",
        ),
        ({"inverse": {"experiments": {"deblur": {"methods": {"../x": NLM}}}}}, r"deblur\.methods': '\.\./x' does not match"),
        (
            {"inverse": {"experiments": {"new": DEBLUR | {"operator": {"name": "blur"}}}}},
            r"new\.operator' must name a kernel",
        ),
        (
            {"inverse": {"experiments": {"new": DEBLUR | {"operator": {"name": "blur", "kernel": "k.npy"}}}}},
            r"new\.operator\.kernel' names the file k\.npy, which does not exist",
        ),
        (
            {"inverse": {"experiments": {"new": DEBLUR | {"operator": {"name": "circular_blur", "kernel": "Gauss"}}}}},
            r"new\.operator\.kernel' names the file Gauss, which does not exist",
        ),
        (
            {
                "inverse": {
                    "experiments": {"n": DEBLUR | {"operator": {"name": "circular_blur", "kernel": "box", "side": 4}}}
                }
            },
            r"n\.operator\.side' is 4; a kernel's side must be odd",
        ),
    ],
)
def test_faults_are_named(update: dict, message: str) -> None:
    with pytest.raises(SystemExit, match=message) as info:
        check_config(merged(TINY, update), SCHEMA)
    assert "config/README.md" in str(info.value)


def test_a_model_from_a_source_needs_no_schedule() -> None:
    check_config(merged(TINY, {"models": {"new": NEW | {"source": "https://example.org/model.pt"}}}), SCHEMA)


def test_missing_optional_package_shows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    own = {"x": NLM | {"prox": {"name": "bm3d", "sigma": 0.1}}}
    with pytest.raises(SystemExit, match=r"methods\.x' needs the package bm3d: pip install .*non-commercial"):
        check_config(merged(TINY, {"inverse": {"experiments": {"deblur": {"methods": own}}}}), SCHEMA)


@pytest.mark.parametrize(
    "path",
    [path for path in ROOT.rglob("*.yaml") if not {".venv", ".snakemake", "results", "logs", "data"} & {*path.parts}],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_key_is_given_twice(path: Path) -> None:
    check_unique_keys(path)


def test_a_key_given_twice_is_refused(project: Project) -> None:
    file = project.folder / "mine.yaml"
    file.write_text("run: mine\nmodels:\n  mnist: {sigma: 0.2}\ninverse: {}\nmodels:\n  mnist: {seed: 3}\n")
    result = project.snakemake("--dry-run", "--configfile", str(file), check=False)
    assert result.returncode
    assert f"{file}, line 5: the key 'models' is given twice" in result.stdout + result.stderr


def test_null_switches_off() -> None:
    off = {"models": {"dncnn": None}, "inverse": {"experiments": {"deblur": {"methods": {"dncnn": None}}}}}
    config = merged(TINY, off)
    apply_switches(config)
    assert "dncnn" not in config["models"]
    assert list(config["inverse"]["experiments"]["deblur"]["methods"]) == ["observation", "tv", "lpn"]
    check_config(config, SCHEMA)


def test_true_switches_a_method_on_again() -> None:
    methods = [{"tv": None, "dncnn": None}, {"tv": True}]
    config = TINY
    for own in methods:
        config = merged(config, {"inverse": {"experiments": {"deblur": {"methods": own}}}})
    apply_switches(config)
    assert config["inverse"]["experiments"]["deblur"]["methods"] == {"observation": {}, "tv": {}, "lpn": {}}
    check_config(config, SCHEMA)


def test_null_removes_keys_of_the_configuration_below() -> None:
    deblur = {"operator": {"name": "identity", "sigma": None}, "methods": {"tv": {"tune": None, "prox": {"weight": 0.5}}}}
    config = merged(TINY, {"inverse": {"experiments": {"deblur": deblur}}})
    apply_switches(config)
    check_config(config, SCHEMA)
    experiment = config["inverse"]["experiments"]["deblur"]
    assert experiment["operator"] == {"name": "identity"}
    assert "tune" not in merge(config["inverse"]["methods"]["tv"], experiment["methods"]["tv"])


def test_published_values_are_those_of_the_papers_problems() -> None:
    experiments = yaml.safe_load((ROOT / "config/config.yaml").read_text())["inverse"]["experiments"]
    published = yaml.safe_load((ROOT / "config/published.yaml").read_text())
    for name, problem in published["experiments"].items():
        assert problem == {key: experiments[name][key] for key in ("operator", "noise")}, name
    assert set(published["experiments"]) == {name for entry in published["results"] for name in entry["psnr_ssim"]}


COMMANDS = re.compile(r"(?:^|`)(snakemake [^`#\n]*)", re.MULTILINE)


def test_targets_of_documented_commands_are_no_configurations() -> None:
    """Snakemake takes everything after --configfile up to the next option as configurations."""
    texts = [path.read_text() for path in (*ROOT.glob("*.md"), *ROOT.glob("config/*.md"), *ROOT.glob("docs/*.md"))]
    commands = [command for text in texts for command in COMMANDS.findall(text)]
    assert len(commands) > 5
    for command in commands:
        for files in re.findall(r"--configfile ((?:[^-\s]\S*\s*)*)", command):
            assert all(file.endswith(".yaml") for file in files.split()), command


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("inverse",), [1], r"key 'inverse': \[1\] is not of type 'object'"),
        (("inverse", "experiments", "deblur"), "x", r"deblur': 'x' is not of type 'object'"),
        (("inverse", "experiments", "deblur", "methods"), ["lpn"], r"methods': \['lpn'\] is not of type 'object'"),
        (("models",), ["mnist"], r"key 'models'"),
    ],
)
def test_lists_in_the_place_of_mappings(place: tuple[str, ...], value: object, message: str) -> None:
    config = copy.deepcopy(TINY)
    parent = config
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    apply_switches(config)
    with pytest.raises(SystemExit, match=message):
        check_config(config, SCHEMA)


def test_original_and_other_data_do_not_mix(project: Project) -> None:
    assert "Preparing the data set celeba" not in project.planned()  # it is there
    project.write_config(merged(TINY, {"data": {"counts": {"celeba": 5}}}))
    assert "Preparing the data set celeba-5" in project.planned()


def test_another_source_of_unchecked_data_prepares_them_anew(project: Project) -> None:
    place = project.folder / "data/mcmaster"
    place.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(place / "1.png")
    target = "data/prepared/mcmaster/test.npy"
    project.snakemake(target)
    assert project.planned(target) == set()
    project.write_config(merged(TINY, {"data": {"mirrors": ["elsewhere"]}}))
    assert project.planned(target) == {"Preparing the data set mcmaster"}


def test_tiny_configuration_is_valid(tmp_path: Path) -> None:
    check_config(TINY, SCHEMA)


def test_images_are_split_over_jobs_but_tuned_on_together(project: Project) -> None:
    project.write_config(merged(TINY, {"inverse": {"tuning_images": 4}}))  # more than images_per_job
    run = project.snakemake("--dry-run", "--printshellcmds", "--until", "measure")
    specs = [json.loads(text) for text in re.findall(r"measure\.py --spec '(.*?)' --data", run.stdout + run.stderr)]
    parts = sorted((spec["split"], spec["first"], spec["images"]) for spec in specs)
    assert parts == [("test", 0, 2), ("test", 2, 1), ("validation", 0, 4)]
