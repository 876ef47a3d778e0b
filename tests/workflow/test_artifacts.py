"""The figures and tables of a run, their files and settings, which notebooks and make_table.py accept."""

import copy
import json
import runpy
from pathlib import Path
from typing import Any

import papermill
import pytest
from artifacts import PUBLISHED, Artifact, Artifacts
from layout import Layout
from plan import Plan

from .conftest import ROOT, TINY, Checker

OUT = Path("results/tiny")
DEBLUR = OUT / "experiments/deblur"
METHODS = ["observation", "tv", "plug_in", "dncnn", "lpn"]


def changed(checker: Checker, update: dict[str, Any]) -> Artifacts:
    """Return the artifacts of the tiny configuration after an update."""
    complete = checker.tiny(update)
    return Artifacts(Plan(complete["config"], complete["facts"], Layout("tiny", Path("data"))))


@pytest.fixture(scope="module")
def artifacts(plan: Plan) -> Artifacts:
    return Artifacts(plan)


def test_names(artifacts: Artifacts) -> None:
    figures = [
        "laplacian_compact",
        "mnist_gaussian_grid",
        "mnist_gaussian_violin",
        "mnist_steps",
        "deblur_comparison",
        "deblur_convergence",
    ]
    tables = ["laplacian", "mnist", "deblurring", "certificates", "published"]
    assert list(artifacts.figures) == figures
    assert list(artifacts.tables) == tables
    assert artifacts.all_figures == [
        OUT / f"figures/{name}.{suffix}" for name in figures for suffix in ("pdf", "png", "html")
    ]
    assert artifacts.all_tables == [OUT / f"tables/{name}.csv" for name in tables]


def test_sections(artifacts: Artifacts) -> None:
    names = {
        section: [path.stem for path in artifacts.of_section(section)] for section in ("curves", "priors", "experiments")
    }
    assert set(names["curves"]) == {"laplacian_compact", "laplacian"}
    assert set(names["priors"]) == {"mnist_gaussian_grid", "mnist_gaussian_violin", "mnist_steps", "mnist"}
    assert set(names["experiments"]) == {"deblur_comparison", "deblur_convergence", "deblurring"}
    assert len(names["curves"]) == 4


def test_figures_of_curves_and_priors(artifacts: Artifacts) -> None:
    curves = artifacts.figures["laplacian_compact"]
    assert curves.files == [OUT / f"curves/laplacian/{model}.csv" for model in ("laplacian_l2", "laplacian_pm")]
    assert curves.settings == {"titles": {"laplacian_l2": "l2"}, "shown": 1.5, "label": "tiny test run"}
    grid, violin = (artifacts.figures[f"mnist_gaussian_{kind}"] for kind in ("grid", "violin"))
    assert grid.files == [OUT / f"priors/mnist/mnist/gaussian{suffix}" for suffix in (".csv", ".npz")]
    assert violin.files == grid.files[:1]
    assert (grid.settings["rows"], violin.settings["published"]) == ([0], {})  # of 4 images, not 100
    steps = artifacts.figures["mnist_steps"]
    assert steps.files == [OUT / f"priors/mnist/mnist/steps{suffix}" for suffix in (".csv", ".npz")]
    assert steps.settings == {"noise": 0.3, "label": "tiny test run"}


def test_published_violins_are_those_of_the_same_images(checker: Checker) -> None:
    artifacts = changed(checker, {"priors": {"mnist": {"images": 100}}})
    violins = artifacts.figures["mnist_gaussian_violin"].settings["published"]
    assert violins["0.05"] == [4.11, 5.11, 5.48, 5.79, 6.67]


def test_steps_alone_need_no_perturbations(checker: Checker) -> None:
    config = copy.deepcopy(TINY)
    del config["priors"]["mnist"]["perturbations"]
    complete = checker.complete(config)
    artifacts = Artifacts(Plan(complete["config"], complete["facts"], Layout("tiny", Path("data"))))
    assert [name for name, figure in artifacts.figures.items() if figure.section == "priors"] == ["mnist_steps"]
    assert "mnist" not in artifacts.tables


def test_a_comparison_reads_the_parts_that_hold_its_images(checker: Checker) -> None:
    shown = {"images": 5, "images_per_job": 2, "shown": [0, 4]}
    comparison = changed(checker, {"experiments": {"deblur": shown}}).figures["deblur_comparison"]
    assert comparison.files == [DEBLUR / method / f"{part}.csv" for method in METHODS for part in (0, 2)]
    assert comparison.settings["arrays"][str(DEBLUR / "tv/2.csv")] == [
        *(str(DEBLUR / "tv/2.npz"), str(DEBLUR / "measurements/test_2.npz"))
    ]
    assert len(comparison.more) == len(set(comparison.more)) == 2 * len(METHODS) + 2
    assert comparison.settings["title"] == "Deblurring (data: celeba)"
    assert list(comparison.settings["methods"]) == METHODS


def test_convergence_shows_all_images_of_methods_that_iterate(artifacts: Artifacts, checker: Checker) -> None:
    convergence = artifacts.figures["deblur_convergence"]
    assert convergence.files == [DEBLUR / method / f"{part}_iterations.csv" for method in METHODS[1:] for part in (0, 1)]
    assert convergence.settings["methods"] == {"tv": "TV", "plug_in": "Median", "dncnn": "DnCNN", "lpn": "LPN"}
    alone = changed(checker, {"experiments": {"deblur": {"methods": ["observation"]}}})
    assert "deblur_convergence" not in alone.figures


def test_searches_for_the_scale_are_drawn(artifacts: Artifacts, checker: Checker) -> None:
    assert artifacts.scale_searches("deblur") == []
    tuning = changed(checker, {"methods": {"tv": {"tune": {"scale": [1, 2]}}}})
    assert tuning.scale_searches("deblur") == ["tv"]
    figure = tuning.figures["deblur_tuning"]
    assert figure.files == [DEBLUR / "tuning/tv.json"]
    assert figure.settings == {"title": "Deblurring (data: celeba)", "label": "tiny test run", "titles": ["TV"]}


def test_tables_of_evaluations(checker: Checker) -> None:
    more = {
        "models": {"laplacian_l1": {"like": "laplacian_l2"}, "mnist_other": {"like": "mnist"}},
        "curves": {"laplacian": {"others": ["laplacian_l1"]}},
        "priors": {"mnist": {"others": ["mnist_other"]}},
    }
    artifacts = changed(checker, more)
    models = ("laplacian_l2", "laplacian_pm", "laplacian_l1")
    assert artifacts.tables["laplacian"].files == [OUT / f"curves/laplacian/{model}.csv" for model in models]
    assert artifacts.tables["mnist"].files == [OUT / f"priors/mnist/{m}/gaussian.csv" for m in ("mnist", "mnist_other")]
    assert artifacts.tables["published"].files == [
        *(OUT / f"curves/laplacian/{model}.csv" for model in models[:2]),
        OUT / "priors/mnist/mnist/gaussian.csv",
    ]
    assert artifacts.prior_files("mnist", ["a", "b"]) == [OUT / f"priors/mnist/{model}/gaussian.csv" for model in "ab"]


def test_experiments_of_a_table_share_it(checker: Checker) -> None:
    second = {"like": "deblur", "title": "Noisy", "data": "photographs", "noise": 0.1, "methods": ["observation"]}
    artifacts = changed(checker, {"experiments": {"second": second}, "make": ["deblur", "second"]})
    table = artifacts.tables["deblurring"]
    assert table.files[-2:] == [OUT / f"experiments/second/observation/{part}.csv" for part in (0, 1)]
    assert len(table.files) == 2 * (len(METHODS) + 1)
    assert table.more == (Path(PUBLISHED),)
    assert table.settings["experiments"]["second"] == artifacts.problem("second")
    assert (
        artifacts.problem("second").items()
        >= {"data": "photographs", "noise": 0.1, "methods": {"observation": "Observed"}}.items()
    )


def test_a_problem_names_the_data_set_that_is_read(artifacts: Artifacts, checker: Checker) -> None:
    part = {"data": {"part": {"name": "celeba", "count": None}}, "experiments": {"deblur": {"data": "part"}}}
    assert changed(checker, part).problem("deblur") == artifacts.problem("deblur")


def test_tables_of_a_run_hold_what_it_has(checker: Checker) -> None:
    artifacts = changed(checker, {"make": ["deblur"], "experiments": {"deblur": {"methods": ["observation", "tv"]}}})
    assert list(artifacts.tables) == ["deblurring"]
    assert list(artifacts.figures) == ["deblur_comparison", "deblur_convergence"]


def test_results_are_the_files_of_all_jobs(artifacts: Artifacts) -> None:
    results = {str(path.relative_to(OUT)) for path in artifacts.results}
    assert {"models/mnist/made_with.json", "priors/mnist/mnist/gaussian.npz", "tables/mnist.tex"} < results
    assert {"experiments/deblur/tuning/tv/0.1.json", "experiments/deblur/measurements/validation_0.npz"} < results
    assert len(results) == 105


def test_lists_of_files_are_written_only_if_they_change(
    artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = [Path("a.csv"), Path("folder/b.csv")]
    path = artifacts.list_file("lists/table", files)
    assert path.read_text() == "a.csv\nfolder/b.csv\n"
    before = path.stat().st_mtime_ns
    assert artifacts.list_file("lists/table", files) == path
    assert path.stat().st_mtime_ns == before
    artifacts.list_file("lists/table", files[:1])
    assert path.read_text() == "a.csv\n"


@pytest.fixture(scope="module")
def full(checker: Checker) -> Artifacts:
    """Artifacts of all kinds."""
    return changed(checker, {"methods": {"tv": {"tune": {"scale": [1, 2]}}}})


def test_notebooks_have_the_parameters_that_figures_give(full: Artifacts) -> None:
    kinds: dict[str, Artifact] = {figure.kind: figure for figure in full.figures.values()}
    assert set(kinds) == {path.stem for path in (ROOT / "workflow/notebooks").glob("*.ipynb")}
    for kind, figure in kinds.items():
        parameters = papermill.inspect_notebook(str(ROOT / f"workflow/notebooks/{kind}.ipynb"))
        assert {*parameters} == {*figure.settings, "files", "pdf"}, kind


def test_the_script_accepts_the_settings_of_tables(full: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    script = runpy.run_path("scripts/make_table.py")
    assert {table.kind for table in full.tables.values()} == script["KINDS"].keys()
    for table in full.tables.values():
        script["KINDS"][table.kind].model_validate(json.loads(json.dumps(table.settings | {"label": "tiny"})))
