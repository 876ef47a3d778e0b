"""The fingerprint of a job covers the code that it runs, and nothing that can't change its result."""

import json
from collections.abc import Callable
from pathlib import Path

import fingerprint
import pytest
from fingerprint import ROOT, code_files, component_file, components, meaning
from plan import Plan

BEFORE = '''"""A module."""

import math


def area(r, unit="m"):
    """Return the area."""
    if r < 0:
        raise ValueError("r is negative")
    print("computing")
    return math.pi * r**2
'''


@pytest.fixture
def same(tmp_path: Path) -> Callable[[str, str], bool]:
    """Return (code, code) -> whether both mean the same."""

    def same(first: str, second: str) -> bool:
        paths = [tmp_path / "first.py", tmp_path / "second.py"]
        for path, text in zip(paths, (first, second), strict=True):
            path.write_text(text)
        meaning.cache_clear()
        return meaning(paths[0]) == meaning(paths[1])

    return same


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("A module", "Another text"),
        ("Return the area", "Return pi r^2"),
        ("r is negative", "r must be at least 0"),
        ("import math\n", "import math  # pi\n"),
        ("\n\n\ndef", "\ndef"),
        ("(r, unit", "(r: float, unit: str"),
        ('"m"):', '"m") -> float:'),
        ('print("computing")', 'print("computing", flush=True)'),
        ("math.pi * r**2", "(math.pi * r ** 2)"),
    ],
)
def test_texts_and_annotations_mean_nothing(same: Callable[[str, str], bool], old: str, new: str) -> None:
    assert old in BEFORE
    assert same(BEFORE, BEFORE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("r**2", "r**3"),
        ("r < 0", "r <= 0"),
        ("ValueError", "TypeError"),
        ('unit="m"', 'unit="km"'),
        ("math.pi", "3.14"),
        ('    print("computing")\n', ""),
    ],
)
def test_other_code_means_something_else(same: Callable[[str, str], bool], old: str, new: str) -> None:
    assert old in BEFORE
    assert not same(BEFORE, BEFORE.replace(old, new))


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ('parser.add_argument("--x", help="a")', 'parser.add_argument("--x", help="b")', True),
        ('parser.add_argument("--x", default=1)', 'parser.add_argument("--x", default=2)', False),
        ('x: int = Field(1, description="a")', 'x: float = Field(1, description="b")', True),
        ("x: int = Field(1, ge=0)", "x: int = Field(1, ge=1)", False),
        ("def f():\n    'text'", "def f():\n    pass", True),
        ("class A:\n    'text'\n    x = 1", "class A:\n    x = 1", True),
        ("warn('a')", "warn('b')", True),
        ("log('a')", "log('b')", False),
        ("tqdm(x, unit='a')", "tqdm(x, unit='b')", True),
        ("read(x, unit='a')", "read(x, unit='b')", False),
    ],
)
def test_what_people_read_means_nothing(same: Callable[[str, str], bool], first: str, second: str, equal: bool) -> None:
    assert same(first, second) == equal


def test_of_a_notebook_only_code_counts(tmp_path: Path) -> None:
    def notebook(name: str, markdown: str, code: str) -> Path:
        cells = [{"cell_type": "markdown", "source": [markdown]}, {"cell_type": "code", "source": [code, "\n", "y = x"]}]
        (tmp_path / name).write_text(json.dumps({"cells": cells}))
        return tmp_path / name

    texts = [
        meaning(notebook(f"{i}.ipynb", *cell)) for i, cell in enumerate([("# A", "x = 1"), ("# B", "x = 1"), ("", "x = 2")])
    ]
    assert texts == ["x = 1\ny = x", "x = 1\ny = x", "x = 2\ny = x"]


def test_components_of_settings_are_found_at_any_depth() -> None:
    settings = {
        "operator": {"name": "blur"},
        "method": {"solver": {"name": "admm"}, "prox": None, "title": {"name": "no component"}},
        "phases": [{"loss": {"name": "l1"}}, {"loss": {"name": "mine.py:Loss"}}],
    }
    found = {path.relative_to(ROOT).as_posix() for path in components(settings)}
    assert found == {"lpn/operators/blur.py", "lpn/solvers/admm.py", "lpn/losses/l1.py", "mine.py"} or found == {
        *("lpn/operators/blur.py", "lpn/solvers/admm.py", "lpn/losses/l1.py"),
        Path("mine.py").resolve().relative_to(ROOT).as_posix(),
    }
    assert components(None) == components([]) == components("blur") == set()


def test_files_of_components(tmp_path: Path) -> None:
    assert component_file("prox", "learned") == ROOT / "lpn/denoisers/learned.py"
    assert component_file("prox", f"{tmp_path}/mine.py:Mine") == tmp_path / "mine.py"


def names(*entries: Path) -> set[str]:
    """Return the files, relative to the repository, that running some can execute."""
    return {path.relative_to(ROOT).as_posix() for path in code_files(*entries)}


def test_code_files_are_those_that_a_job_can_run() -> None:
    measure = names(ROOT / "scripts/measure.py", component_file("operator", "blur"))
    assert {"scripts/measure.py", "scripts/_cli.py", "lpn/operators/blur.py", "lpn/operators/_kernels.py"} <= measure
    assert {"lpn/__init__.py", "lpn/operators/__init__.py", "lpn/operators/_base.py", "lpn/settings.py"} <= measure
    assert not measure & {
        "lpn/operators/tomography.py",
        "scripts/train.py",
        "lpn/training/trainer.py",
        "lpn/solvers/admm.py",
    }
    train = names(ROOT / "scripts/train.py", component_file("network", "dncnn"), component_file("loss", "l2"))
    assert {"lpn/networks/dncnn.py", "lpn/losses/l2.py", "lpn/training/trainer.py"} <= train
    assert not train & {"lpn/networks/lpn_patch.py", "lpn/losses/l1.py", "lpn/operators/blur.py", "lpn/solvers/admm.py"}


def test_code_files_of_a_plug_in_hold_what_it_imports(tmp_path: Path) -> None:
    plug_in, beside = tmp_path / "mine.py", tmp_path / "helper.py"
    plug_in.write_text("import helper\nfrom lpn.cg import conjugate_gradients\nfrom lpn import seeds\n")
    beside.write_text("import numpy\n")
    assert {plug_in, beside, ROOT / "lpn/cg.py", ROOT / "lpn/seeds.py"} <= {*code_files(plug_in)}


def test_fingerprints_differ_by_what_settings_choose(tmp_path: Path) -> None:
    def of(operator: str) -> str:
        return fingerprint.fingerprint("scripts/measure.py", {"operator": {"name": operator}})

    assert of("blur") == of("blur")
    assert len(of("blur")) == 16
    assert len({of("blur"), of("bayer"), fingerprint.fingerprint("scripts/measure.py")}) == 3
    plug_in = tmp_path / "mine.py"
    marks = []
    for text in ("x = 1\n", "x = 1  # the same\n", "x = 2\n"):
        plug_in.write_text(text)
        for cached in (meaning, fingerprint._imports, fingerprint._digest):
            cached.cache_clear()
        marks.append(of(f"{plug_in}:Mine"))
    assert marks[0] == marks[1] != marks[2]


def test_fingerprint_covers_a_model_that_the_job_loads(plan: Plan) -> None:
    settings = plan.method_settings("deblur", "lpn")
    assert plan.code("reconstruct", settings, "faces") != plan.code("reconstruct", settings)
    assert plan.code("reconstruct", settings, "faces") != plan.code("reconstruct", settings, "dncnn")
