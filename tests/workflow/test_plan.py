"""The jobs of a run: their files and settings, which the scripts accept."""

import json
import runpy
import shlex
from pathlib import Path
from typing import Annotated, Any

import pytest
from layout import Layout
from plan import Plan, curve_models, data_option, folder_option, option, per_attempt
from pydantic import TypeAdapter

from lpn.data import DataSet
from lpn.settings import Choice

from .conftest import CRITIC, ROOT, TINY, Checker, prepared

OUT = Path("results/tiny")
PREPARED = Path("data/prepared")


def changed(checker: Checker, update: dict[str, Any]) -> Plan:
    """Return the plan of the tiny configuration after an update."""
    complete = checker.tiny(update)
    return Plan(complete["config"], complete["facts"], Layout("tiny", Path("data")))


def test_methods_are_ordered_by_kind(checker: Checker) -> None:
    listed = ["dncnn", "lpn", "plug_in", "tv", "observation"]
    plan = changed(checker, {"experiments": {"deblur": {"methods": listed}}})
    assert list(plan.experiments["deblur"]["methods"]) == ["observation", "plug_in", "tv", "dncnn", "lpn"]
    assert plan.methods == sorted(listed)


def test_models_are_trained_or_imported(checker: Checker) -> None:
    plan = changed(checker, {"models": {"mnist": {"source": "https://example.org/m.pt"}}})
    assert plan.imported == ["mnist"]
    assert plan.trained == ["laplacian_l2", "laplacian_pm", "faces", "dncnn"]
    assert plan.certifiable == ["laplacian_l2", "laplacian_pm", "mnist", "faces"]
    assert plan.import_settings("mnist")["source"] == "https://example.org/m.pt"
    (checker.folder / "m.pt").touch()
    plan = changed(checker, {"models": {"mnist": {"source": "m.pt"}}})
    assert plan.import_settings("mnist")["source"] == str(checker.folder / "m.pt")


def test_data(plan: Plan) -> None:
    assert plan.prepared == {prepared(name): name for name in ("celeba", "mnist", "photographs")}
    assert plan.data_files("laplace") == plan.model_data("laplacian_l2") == []
    assert plan.model_data("faces") == [
        PREPARED / prepared("celeba") / f"{split}.npy" for split in ("train", "validation", "test")
    ]
    assert plan.dataset_settings("celeba") == {"dataset": {"name": "celeba", "count": None}}


def test_data_of_other_settings_are_prepared_apart(checker: Checker, plan: Plan) -> None:
    other = changed(checker, {"data": {"celeba": {"name": "celeba", "count": 5}}})
    assert other.prepared_name("celeba") != plan.prepared_name("celeba")
    assert other.prepared_name("mnist") == plan.prepared_name("mnist")


def test_only_a_source_of_unchecked_data_decides(checker: Checker, plan: Plan) -> None:
    other = changed(checker, {"mirrors": ["elsewhere"]})
    assert other.unchecked_source("mnist") == plan.unchecked_source("mnist") == ""
    assert other.unchecked_source("celeba") != plan.unchecked_source("celeba") == '["data", []]'


def test_trainings(checker: Checker, plan: Plan) -> None:
    assert plan.init_model("laplacian_pm") == [OUT / "models/laplacian_l2/model.pt"]
    assert plan.init_model("laplacian_l2") == []
    settings = plan.training_settings("mnist")
    assert settings["dataset"] is None
    assert not settings.keys() & {"data", "init", "logging"}
    assert plan.training_settings("laplacian_l2")["dataset"] == {"name": "laplace"}
    logged = changed(checker, {"models": {"mnist": {"logging": {"every": 7}}}})
    assert logged.training_settings("mnist") == settings


def test_pairs_are_prepared_once_for_each_operator(checker: Checker, plan: Plan) -> None:
    """Noise is drawn in training, so that of another level needs no other pairs. Denoisers need none."""
    assert plan.pairs == {}
    assert plan.model_pairs("faces") == []
    changes = {"louder": {"pairs": {"noise": 0.2}}, "smoother": {"pairs": {"operator": {"sigma": 2.0}}}}
    models = {"critic": CRITIC} | {name: {"like": "critic", **change} for name, change in changes.items()}
    models["generator"] = {
        "like": "louder",
        "network": {"name": "uar", "channels": 3, "size": 128, "hidden": 1, "linear": 2},
    }
    models["generator"] |= {"init": "critic"}
    solver = {"title": "AR", "solver": {"name": "gradient_descent", "weight": 1.0}, "scale": 0.5, "iterations": 2}
    names = ["critic", "smoother", "generator"]
    methods = {name: {**solver, "title": name, "regulariser": {"model": name}} for name in names}
    made = {"models": models, "methods": methods, "experiments": {"deblur": {"methods": names}}}
    plan = changed(checker, made)
    assert plan.pairs_name("generator") == plan.pairs_name("critic") != plan.pairs_name("smoother")
    assert {*plan.pairs} == {plan.pairs_name("critic"), plan.pairs_name("smoother")}
    assert plan.pairs_settings("smoother") == {"operator": plan.models["smoother"]["pairs"]["operator"], "seed": 0}
    folder = PREPARED / str(plan.pairs_name("critic"))
    assert str(folder).startswith(str(PREPARED / prepared("celeba")))
    assert folder / "train_start.npy" in plan.model_pairs("generator")
    assert plan.init_model("generator") == [OUT / "models/critic/model.pt"]
    assert folder_option("pairs", plan.model_pairs("critic")) == f"--pairs {folder}"
    assert plan.code("make_pairs", plan.pairs_settings("critic")) != plan.code("make_pairs", None)


def test_certificates(plan: Plan) -> None:
    assert plan.certified("dncnn") == {"model": OUT / "models/dncnn/model.pt"}
    assert plan.certified("faces") == {
        "model": OUT / "models/faces/model.pt",
        "certificate": OUT / "certificates/faces.json",
    }
    assert plan.certificate_settings("faces").items() >= TINY["certificate"].items()


def test_scalar_networks_are_certified_on_the_grid_of_their_curves(checker: Checker) -> None:
    own = TINY["curves"]["laplacian"] | {
        "grid": {"low": -1, "high": 5, "points": 3},
        "figures": {"a": ["other"]},
        "titles": {},
    }
    update = {"curves": {"own": own}, "models": {"other": TINY["models"]["laplacian_l2"]}, "make": ["own", "laplacian"]}
    plan = changed(checker, update)
    for model, (low, high) in {"other": (-1, 5), "laplacian_l2": (-2, 2)}.items():
        settings = plan.certificate_settings(model)
        assert (settings.get("grid") or settings).items() >= {"low": low, "high": high}.items()


def test_evaluations(plan: Plan) -> None:
    assert plan.curve_settings("laplacian", "laplacian_pm") == {
        "low": -2,
        "high": 2,
        "points": 21,
        "sigma": 1.0,
        "model": "laplacian_pm",
    }
    assert plan.prior_settings("mnist", "mnist", "gaussian") == {
        "model": "mnist",
        "perturbation": "gaussian",
        "levels": [0, 0.1],
        "images": 4,
        "seed": 0,
        "method": "quasi_newton",
        "tolerance": 1e-6,
        "max_iterations": 100,
    }
    curves = {"figures": {"a": ["x", "y"], "b": ["y", "z"]}, "others": ["w", "x"]}
    assert curve_models(curves) == ["x", "y", "z", "w"]


@pytest.mark.parametrize(("images", "per_job", "sizes"), [(3, 2, [2, 1]), (4, 2, [2, 2]), (3, 20, [3]), (3, 1, [1, 1, 1])])
def test_images_are_split_over_jobs(checker: Checker, images: int, per_job: int, sizes: list[int]) -> None:
    plan = changed(checker, {"experiments": {"deblur": {"images": images, "images_per_job": per_job}}})
    settings = [plan.measurement_settings("deblur", "test", part) for part in plan.parts("deblur")]
    assert [s["images"] for s in settings] == sizes
    assert [s["first"] for s in settings] == [part * per_job for part in range(len(sizes))]
    assert [plan.reconstruction_settings("deblur", "tv", part)["first"] for part in plan.parts("deblur")] == [
        s["first"] for s in settings
    ]


def test_grid_searches_use_all_their_images_together(checker: Checker) -> None:
    tuning = {"data": "photographs", "crop": 64, "images": 4}  # more than images_per_job
    plan = changed(checker, {"experiments": {"deblur": {"tuning": tuning}}})
    settings = plan.measurement_settings("deblur", "validation", 0)
    assert settings.items() >= {"split": "validation", "first": 0, "images": 4, "crop": 64, "noise": 0.05}.items()
    assert plan.measurement_settings("deblur", "test", 0)["crop"] is None
    assert plan.measured_data("deblur", "validation") == plan.data_files("photographs")
    assert plan.measured_data("deblur", "test") == plan.data_files("celeba")


def test_grid_searches_have_a_job_for_each_value_of_the_first_key(checker: Checker) -> None:
    tune = {"prox.weight": [0.1, 0.2], "scale": [1, 2, 3]}
    plan = changed(checker, {"methods": {"tv": {"tune": tune}}})
    for weight in (0.1, 0.2):
        points = [{"prox.weight": weight, "scale": scale} for scale in (1, 2, 3)]
        assert plan.tuning_settings("deblur", "tv", f"{weight}")["points"] == points
    assert plan.score_files("deblur", "tv") == [OUT / f"experiments/deblur/tuning/tv/{w}.json" for w in ("0.1", "0.2")]
    assert plan.chosen_parameters("deblur", "tv") == [OUT / "experiments/deblur/tuning/tv.json"]
    assert plan.chosen_parameters("deblur", "lpn") == plan.score_files("deblur", "lpn") == []


def test_a_job_of_a_grid_search_tries_several_values_if_it_is_told_to(checker: Checker) -> None:
    tune = {"prox.weight": [0.1, 0.2, 0.3], "scale": [1, 2]}
    changes = {"methods": {"tv": {"tune": tune}}, "experiments": {"deblur": {"tuning": {"values_per_job": 2}}}}
    plan = changed(checker, changes)
    assert plan.grid_parts("deblur", "tv") == {
        "0.1_0.2": [{"prox.weight": weight, "scale": scale} for weight in (0.1, 0.2) for scale in (1, 2)],
        "0.3": [{"prox.weight": 0.3, "scale": scale} for scale in (1, 2)],
    }


def test_a_new_value_of_a_grid_leaves_the_jobs_of_the_others(checker: Checker) -> None:
    plans = [
        changed(checker, {"methods": {"tv": {"tune": {"prox.weight": values}}}})
        for values in ([0.1, 2], [0.05, 0.1, 1e-5, 2])
    ]
    before, after = (
        {file: plan.tuning_settings("deblur", "tv", file.stem) for file in plan.score_files("deblur", "tv")}
        for plan in plans
    )
    assert before.items() <= after.items()
    assert [file.stem for file in after] == ["0.05", "0.1", "1e-05", "2"]


def test_methods(plan: Plan) -> None:
    assert plan.method_model("deblur", "lpn") == "faces"
    assert plan.method_model("deblur", "tv") is None
    assert plan.method_model("deblur", "observation") is None
    assert plan.method_files("deblur", "lpn") == plan.certified("faces")
    assert plan.method_files("deblur", "tv") == {}
    settings = plan.method_settings("deblur", "tv")
    assert not settings["method"].keys() & {"title", "tune"}
    assert settings.keys() == {"operator", "seed", "clip", "border", "channelwise", "method"}


def test_titles_decide_no_reconstruction(checker: Checker, plan: Plan) -> None:
    other = changed(
        checker, {"methods": {"tv": {"title": "Other"}}, "experiments": {"deblur": {"title": "Other", "shown": [1]}}}
    )
    assert other.reconstruction_settings("deblur", "tv", 0) == plan.reconstruction_settings("deblur", "tv", 0)


def test_code_covers_the_content_of_named_files(checker: Checker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kernel, model, config = (checker.folder / name for name in ("later.npy", "m.pt", "model_config.json"))
    update = {
        "folder": str(checker.folder),
        "models": {"mnist": {"source": "m.pt"}},
        "experiments": {"deblur": {"operator": {"name": "blur", "kernel": str(kernel)}}},
    }
    model.write_bytes(b"weights")

    def codes() -> dict[str, str]:
        plan = changed(checker, update)
        return {
            "measure": plan.code("measure", plan.measurement_settings("deblur", "test", 0)),
            "reconstruct": plan.code("reconstruct", plan.method_settings("deblur", "tv")),
            "import": plan.code("import_model", plan.import_settings("mnist")),
            "train": plan.code("train", plan.training_settings("faces")),
        }

    before = codes()
    kernel.write_bytes(b"a kernel")  # placed later
    placed = codes()
    assert {name for name in before if before[name] != placed[name]} == {"measure", "reconstruct"}
    for path in (model, config):
        path.write_bytes(b"others")
        replaced = codes()
        assert {name for name in before if placed[name] != replaced[name]} == {"import"}
        placed = replaced
    config.unlink()


def test_options() -> None:
    assert per_attempt(100)(None, attempt=3) == 300
    assert option("init", []) == data_option([]) == ""
    assert shlex.split(option("init", [Path("a folder/model.pt")])) == ["--init", "a folder/model.pt"]
    assert data_option([Path("data/x/train.npy"), Path("data/x/test.npy")]) == "--data data/x"


# the settings are those of the scripts


def settings_of(plan: Plan) -> dict[str, tuple[str, list[Any]]]:
    """Return the settings of all jobs of a plan: by script, the class of its settings, and theirs."""
    experiments = [(name, method) for name, e in plan.experiments.items() for method in e["methods"]]
    evaluations = plan.config["priors"].items()
    return {
        "train": ("TrainSpec", [plan.training_settings(model) for model in plan.trained]),
        "import_model": ("ImportSpec", [plan.import_settings(model) for model in plan.imported]),
        "certify": ("CertifySpec", [plan.certificate_settings(model) for model in plan.certifiable]),
        "curves": (
            "CurveSpec",
            [plan.curve_settings(name, model) for name, c in plan.config["curves"].items() for model in curve_models(c)],
        ),
        "prior": (
            "PriorSpec",
            [
                plan.prior_settings(name, priors["model"], kind)
                for name, priors in evaluations
                for kind in priors["perturbations"]
            ],
        ),
        "proximal_steps": ("StepsSpec", [plan.step_settings(name) for name, _ in evaluations]),
        "measure": (
            "MeasureSpec",
            [plan.measurement_settings(name, split, 0) for name in plan.experiments for split in ("test", "validation")],
        ),
        "tune": (
            "TuneSpec",
            [plan.tuning_settings(*key, values) for key in experiments for values in plan.grid_parts(*key)],
        ),
        "reconstruct": ("ReconstructSpec", [plan.reconstruction_settings(*key, 0) for key in experiments]),
    }


SCRIPTS = ("train", "import_model", "certify", "curves", "prior", "proximal_steps", "measure", "tune", "reconstruct")


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_accept_the_settings_of_their_jobs(checker: Checker, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    plan = changed(checker, {"models": {"dncnn": {"source": "https://example.org/d.pt"}}})
    name, jobs = settings_of(plan)[script]
    spec = runpy.run_path(str(ROOT / f"scripts/{script}.py"))[name]
    assert jobs
    for settings in jobs:
        spec.model_validate(json.loads(json.dumps(settings)))


def test_settings_of_data_sets_are_valid(plan: Plan) -> None:
    adapter = TypeAdapter(Annotated[DataSet, Choice("dataset")])
    for name in plan.prepared.values():
        adapter.validate_python(plan.dataset_settings(name)["dataset"])
