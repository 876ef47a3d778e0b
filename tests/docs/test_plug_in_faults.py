"""Faults of plug-ins: a configuration with one is refused, or its job ends, with one sentence that names file and remedy."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts.conftest import outputs, spec_of
from workflow.conftest import Checker

from lpn.settings import KINDS

from .conftest import EXAMPLES, OF_KIND, used, whole, write_examples


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Checker:
    """Completes configurations in a folder with the examples of the page."""
    folder = tmp_path_factory.mktemp("mine")
    write_examples(folder)
    return Checker(folder)


def places(config: dict[str, Any]) -> dict[str, tuple[dict[str, Any], str]]:
    """Return where each kind stands in a configuration: a mapping and a key of it."""
    model, experiment = config["models"]["residual"], config["experiments"]["mri"]
    median = config["methods"]["median"]
    config["methods"]["learned"]["solver"] = "pgd"  # so that one place alone has the plug-in
    return {
        "operator": (experiment, "operator"),
        "prox": (median, "prox"),
        "solver": (median, "solver"),
        "network": (model, "network"),
        "loss": (model["phases"][0], "loss"),
        "augment": (model, "augment"),
        "dataset": (config["data"], "scans"),
    }


KEYS = {
    "operator": "experiments.mri.operator",
    "prox": "methods.median.prox",
    "solver": "methods.median.solver",
    "network": "models.residual.network",
    "loss": "models.residual.phases.0.loss",
    "augment": "models.residual.augment",
    "dataset": "data.scans",
}


def refused_by_check(mine: Checker, kind: str, name: str | None = None, **settings: object) -> str:
    """Return the paragraph that refuses the configuration with another name, or further settings, of a kind."""
    from configuration import ConfigurationError

    config = whole()
    place, key = places(config)[kind]
    place[key] = place[key] | ({"name": name} if name else {}) | settings
    with pytest.raises(ConfigurationError) as refusal:
        mine.complete(config)
    return str(refusal.value)


def test_the_configuration_of_the_page_is_accepted(mine: Checker) -> None:
    complete = mine.complete(whole())
    assert complete["files"] == sorted(str(mine.folder / file) for file in [*EXAMPLES, "scans"])
    assert complete["config"]["data"]["scans"] == {"name": f"{mine.folder}/scans.py:Scans", "path": f"{mine.folder}/scans"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_does_not_exist(mine: Checker, kind: str) -> None:
    sentence = f"key '{KEYS[kind]}': the file {mine.folder}/lost.py of the {kind} 'Mine' does not exist."
    assert refused_by_check(mine, kind, "lost.py:Mine") == sentence


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("import no_such_package", "(ModuleNotFoundError: No module named 'no_such_package')"),
        ("x = 1 +", "(SyntaxError: invalid syntax"),
        ("x = y", "(NameError: name 'y' is not defined)"),
    ],
)
def test_a_file_that_does_not_run(mine: Checker, kind: str, fault: str, sentence: str) -> None:
    file = OF_KIND[kind]
    code = EXAMPLES[file].code.replace("\n\n\nclass", f"\n{fault}\n\n\nclass", 1)
    line = code[: code.index(fault)].count("\n") + 1
    broken = mine.folder / f"broken_{file}"
    broken.write_text(code)
    paragraph = refused_by_check(mine, kind, used(kind)["name"].replace(file, broken.name))
    assert paragraph.startswith(f"key '{KEYS[kind]}': {broken}, line {line} does not run {sentence}")
    assert "\n" not in paragraph


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_that_is_not_there(mine: Checker, kind: str) -> None:
    file, name = used(kind)["name"].split(":")
    paragraph = refused_by_check(mine, kind, f"{file}:{name}s")
    assert paragraph.startswith(f"key '{KEYS[kind]}': {mine.folder}/{file} has no class {name}s that is ")
    assert re.search(rf"\(from lpn\.\w+ import \w+\); of that kind it has: {name}\.$", paragraph)


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_of_another_kind(mine: Checker, kind: str) -> None:
    other = used("loss" if kind == "solver" else "solver")["name"]
    file, name = other.split(":")
    paragraph = refused_by_check(mine, kind, other)
    assert paragraph.startswith(f"key '{KEYS[kind]}': {mine.folder}/{file} has no class {name} that is ")
    assert paragraph.endswith("; of that kind it has: none.")


@pytest.mark.parametrize(
    ("kind", "word", "meant"),
    [
        ("operator", "accelerationn", "acceleration"),
        ("prox", "sizze", "size"),
        ("solver", "growt", "growth"),
        ("network", "hidde", "hidden"),
        ("loss", "epsilo", "epsilon"),
        ("augment", "mots", "most"),
        ("dataset", "pat", "path"),
    ],
)
def test_a_misspelt_setting(mine: Checker, kind: str, word: str, meant: str) -> None:
    sentence = f"key '{KEYS[kind]}': unknown key '{word}'; did you mean '{meant}'?"
    assert refused_by_check(mine, kind, **{word: 3}) == sentence


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [
        ("operator", {"acceleration": 0}, "acceleration' is 0: input should be greater than 0."),
        ("prox", {"size": 2.5}, "size' is 2.5: input should be a valid integer"),
        ("solver", {"growth": 0.9}, "growth' is 0.9: input should be greater than or equal to 1."),
        ("augment", {"most": "all"}, "most' is 'all': input should be a valid number."),
    ],
)
def test_a_setting_out_of_range(mine: Checker, kind: str, settings: dict[str, object], sentence: str) -> None:
    assert refused_by_check(mine, kind, **settings).startswith(f"key '{KEYS[kind]}.{sentence}")


def test_what_does_not_fit_is_refused(mine: Checker) -> None:
    """The network has other channels than the scans, or there are fewer scans than the experiment needs."""
    assert "has channels 3, but the training images have 1" in refused_by_check(mine, "network", channels=3)
    assert "path" in refused_by_check(mine, "dataset", path=None)


def test_check_prints_one_paragraph(
    mine: Checker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import check
    import configuration

    config = whole()
    config["methods"]["median"]["prox"] = {"name": "median.py:Mean"}
    config["experiments"]["mri"]["operator"] = "lost.py:Mri"
    monkeypatch.setattr(configuration, "LIBRARY", mine.folder / "none")
    monkeypatch.setenv("LPN_DATA", str(mine.folder))
    monkeypatch.setattr(sys, "argv", ["check.py", *map(str, mine.files(config))])
    with pytest.raises(SystemExit) as ending:
        check.main()
    paragraph = str(ending.value.code)
    assert paragraph.startswith("error in the configuration: ")
    assert "median.py has no class Mean" in paragraph
    assert "lost.py of the operator 'Mri' does not exist." in paragraph
    assert "\n" not in paragraph
    assert not capsys.readouterr().out


# what shows only when a job runs


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of prepared images."""
    np.save(tmp_path / "test.npy", np.random.default_rng(0).random((2, 1, 16, 16), np.float32))
    return tmp_path


def changed(folder: Path, file: str, old: str, new: str) -> Path:
    """Write an example with a fault."""
    code = EXAMPLES[file].code
    assert code.count(old) == 1
    (folder / file).write_text(code.replace(old, new))
    return folder / file


def test_a_wrong_adjoint_ends_the_job(refused: Callable[..., str], scans: Path) -> None:
    file = changed(scans, "mri.py", "ifft2(spectrum", "fft2(spectrum")
    spec = {"split": "test", "first": 0, "images": 2, "operator": {"name": f"{file}:Mri"}, "noise": 0.1, "seed": 0}
    paragraph = refused("measure", "--spec", spec, "--data", scans, "--output", scans / "m.npz")
    assert paragraph.startswith(f"error: the operator: {file}:Mri: the adjoint is not that of the operator: <A x, y> = ")
    assert paragraph.endswith("Make `_adjoint` the transpose of `_forward`.")
    assert not (scans / "m.npz").exists()


def test_the_line_of_an_operator_that_fails(refused: Callable[..., str], scans: Path) -> None:
    file = changed(scans, "mri.py", "y.contiguous()", "y.contiguousx()")
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "contiguousx" in text)
    spec = {"split": "test", "first": 0, "images": 2, "operator": {"name": f"{file}:Mri"}, "noise": 0.1, "seed": 0}
    paragraph = refused("measure", "--spec", spec, "--data", scans, "--output", scans / "m.npz")
    assert paragraph.startswith(f"error: the operator: {file}, line {line}: AttributeError: ")


METHOD = {"solver": {"name": "pgd"}, "prox": {"name": "tv", "weight": 0.1}, "scale": 0.4, "iterations": 2}


@pytest.mark.parametrize(
    ("kind", "old", "new", "sentence"),
    [
        (
            "prox",
            ".to(v)",
            ".double()",
            "returned torch.float64 .* for torch.float32 .*shape and the dtype must be those of",
        ),
        ("prox", "from_numpy(filtered)", "from_numpy(filtered[1:])", r"returned .*\(1, 1, 16, 16\) for .*\(2, 1, 16, 16\)"),
        (
            "prox",
            "median_filter(v.cpu()",
            "median_filter(w.cpu()",
            r"median\.py, line 13: NameError: name 'w' is not defined",
        ),
        ("solver", "yield Iterate(x,", "yield Iterate(x[0],", r"splitting\.py:HalfQuadratic yields 'x' as .*must be"),
        ("solver", "problem.proximal(rho)", "problem.prox(rho)", r"splitting\.py, line 17: AttributeError: .*'prox'"),
    ],
)
def test_a_method_with_a_fault_ends_the_job(
    run: Callable[..., None], refused: Callable[..., str], scans: Path, kind: str, old: str, new: str, sentence: str
) -> None:
    operator = {"name": "blur", "sigma": 1.0}
    spec = {"split": "test", "first": 0, "images": 2, "operator": operator, "noise": 0.1, "seed": 7}
    run("measure", "--spec", spec, "--data", scans, "--output", scans / "m.npz")
    file = changed(scans, OF_KIND[kind], old, new)
    part = used(kind) | {"name": used(kind)["name"].replace(OF_KIND[kind], str(file))}
    paragraph = refused(
        "reconstruct", "--spec", spec_of(METHOD | {kind: part}), "--measurement", scans / "m.npz", *outputs(scans)
    )
    assert paragraph.startswith("error: the method: ")
    assert str(file) in paragraph
    assert re.search(sentence, paragraph)
    assert not (scans / "images.csv").exists()
