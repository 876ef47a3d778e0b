"""Which figures and tables a run has, from which files and with which settings."""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configuration import CACHE, ROOT, read_yaml, repetitions, replace_text
from plan import Plan, curve_models

PUBLISHED = os.path.relpath(ROOT / "config/published.yaml")
CATEGORIES = {"curves": "Scalar networks", "priors": "Learned priors", "experiments": "Inverse problems"}  # of the report
CAPTIONS = {  # of figures, by kind
    "curves": "Learned proximal operator, potential and prior beside the truth",
    "prior_grid": "Test images, corrupted more from left to right, with the learned prior over each",
    "prior_violin": "Distribution of the learned prior over test images at each level of corruption",
    "proximal_steps": "Test images, noisy ones, and what repeated steps of the learned proximal operator make of them",
    "comparison": "Reconstructions, with PSNR (dB) / SSIM over each image",
    "convergence": "Mean PSNR, residuals, data term and, for learned proximal networks, objective at every iteration",
    "tuning": "Mean PSNR over validation images against the weight that was searched for",
}


@dataclass(frozen=True)
class Artifact:
    """A figure or a table.

    Attributes:
        kind: the notebook of a figure (workflow/notebooks/<kind>.ipynb), or the kind of a table (scripts/make_table.py).
        name: of a curve, a prior or an experiment, whose section of the report it is in.
        section: "curves", "priors" or "experiments"; "run" for tables of the whole run.
        files: what it is made from, in the order that the notebook or script asks for.
        more: further inputs, which the settings name.
        settings: all else that it needs.
    """

    kind: str
    name: str
    section: str
    files: list[Path]
    settings: dict[str, Any]
    more: tuple[Path, ...] = ()

    @property
    def category(self) -> str:
        """Its section of the report, in words."""
        return CATEGORIES[self.section]

    @property
    def caption(self) -> str:
        """What a figure shows: its kind, and the title of an experiment."""
        title = self.settings.get("title")
        return f"{title}: {CAPTIONS[self.kind]}" if title else CAPTIONS[self.kind]


class Artifacts:
    """The figures and tables of a plan, by name."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.layout, self.config = plan, plan.layout, plan.config
        self.published = read_yaml(Path(PUBLISHED))["priors"]
        self.figures = self._curve_figures() | self._prior_figures() | self._experiment_figures()
        self.tables = self._evaluation_tables() | self._result_tables() | self._run_tables()

    @property
    def all_figures(self) -> list[Path]:
        """The files of all figures."""
        return [path for name in self.figures for path in self.layout.figure(name)]

    @property
    def all_tables(self) -> list[Path]:
        """The CSV files of all tables."""
        return [self.layout.table(name) for name in self.tables]

    @property
    def results(self) -> list[Path]:
        """The files that all jobs of the run write, its provenance left out."""
        layout, files = self.layout, [self.layout.page, *self.all_figures, *self.all_tables]
        files += [path.with_suffix(suffix) for path in self.all_tables for suffix in (".md", ".tex", ".html")]
        files += [path for artifact in self.figures.values() for path in (*artifact.files, *artifact.more)]
        files += [path for artifact in self.tables.values() for path in artifact.files]
        for model in self.plan.models:
            files += layout.model_files(model, trained=model in self.plan.trained)
        for name, priors in self.config["priors"].items():
            files += [path.with_suffix(".npz") for path in self.prior_files(name, [priors["model"], *priors["others"]])]
        for name, experiment in self.plan.experiments.items():
            files += [layout.measurements(name, "test", part) for part in self.plan.parts(name)]
            for method, part in itertools.product(experiment["methods"], self.plan.parts(name)):
                files += [layout.result(name, method, part, suffix) for suffix in (".csv", "_iterations.csv", ".npz")]
            for method in [method for method in experiment["methods"] if self.plan.chosen_parameters(name, method)]:
                files += [layout.measurements(name, "validation", 0), layout.chosen(name, method)]
                files += self.plan.score_files(name, method)
        return sorted(set(files))

    def of_section(self, section: str) -> list[Path]:
        """Return the files of the figures and tables of "curves", "priors" or "experiments"."""
        figures = [path for name, a in self.figures.items() if a.section == section for path in self.layout.figure(name)]
        return figures + [self.layout.table(name) for name, a in self.tables.items() if a.section == section]

    def list_file(self, name: str, files: list[Path]) -> Path:
        """Write the paths of files to a list, one a line, and return it: a command line must not grow with their number."""
        return self.text_file(f"{name}.txt", "".join(f"{file}\n" for file in files))

    def text_file(self, name: str, text: str) -> Path:
        """Write a text to a file of the run in the workflow's own folder, unless it is there, and return it."""
        path = CACHE / "runs" / self.config["run"] / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            replace_text(path, text)
        return path

    def _curve_figures(self) -> dict[str, Artifact]:
        figures = {}
        for name, curves in self.config["curves"].items():
            settings = {"titles": curves["titles"], "shown": curves["shown"], "label": self.config["label"]}
            for figure, models in curves["figures"].items():
                files = self.layout.curves(name, models)
                figures[f"{name}_{figure}"] = Artifact("curves", name, "curves", files, settings)
        return figures

    def _prior_figures(self) -> dict[str, Artifact]:
        figures = {}
        for name, priors in self.config["priors"].items():
            for kind, perturbation in priors["perturbations"].items():
                prior, arrays = (self.layout.prior(name, priors["model"], kind, suffix) for suffix in (".csv", ".npz"))
                settings = {"symbol": perturbation["symbol"], "label": self.config["label"]}
                grid = settings | {"rows": perturbation["rows"]}
                figures[f"{name}_{kind}_grid"] = Artifact("prior_grid", name, "priors", [prior, arrays], grid)
                violin = settings | {"published": self._published_violins(priors, kind)}
                figures[f"{name}_{kind}_violin"] = Artifact("prior_violin", name, "priors", [prior], violin)
            if priors["repeated"]:
                files = [self.layout.prior(name, priors["model"], "steps", suffix) for suffix in (".csv", ".npz")]
                settings = {"noise": priors["repeated"]["noise"], "label": self.config["label"]}
                figures[f"{name}_steps"] = Artifact("proximal_steps", name, "priors", files, settings)
        return figures

    def _published_violins(self, priors: dict[str, Any], kind: str) -> dict[str, list[float]]:
        """Return the published distributions of a perturbation by level; none if they are those of other images."""
        own, images = self.plan.models[priors["model"]]["data"], priors["images"]
        same = (self.config["data"][own]["name"], images) == (self.published["data"], self.published["images"])
        return self.published["perturbations"][kind]["violins"]["summaries"] if same else {}

    def _experiment_figures(self) -> dict[str, Artifact]:
        figures = {}
        for name, experiment in self.plan.experiments.items():
            title = {"title": f"{experiment['title']} (data: {experiment['data']})", "label": self.config["label"]}
            titles = {method: settings["title"] for method, settings in experiment["methods"].items()}
            figures[f"{name}_comparison"] = self._comparison(name, title | {"methods": titles})
            iterative = [method for method, settings in experiment["methods"].items() if settings["solver"]]
            if iterative:
                parts = self.plan.parts(name)
                files = [self.layout.result(name, m, part, "_iterations.csv") for m in iterative for part in parts]
                settings = title | {"methods": {method: titles[method] for method in iterative}}
                figures[f"{name}_convergence"] = Artifact("convergence", name, "experiments", files, settings)
            if searches := self.scale_searches(name):
                files = [self.layout.chosen(name, method) for method in searches]
                settings = title | {"titles": [titles[method] for method in searches]}
                figures[f"{name}_tuning"] = Artifact("tuning", name, "experiments", files, settings)
        return figures

    def _comparison(self, name: str, settings: dict[str, Any]) -> Artifact:
        """Return the figure of the reconstructions of some images, from the parts that hold them."""
        experiment = self.plan.experiments[name]
        parts = sorted({image // experiment["images_per_job"] for image in experiment["shown"]})
        files, arrays, more = [], {}, list[Path]()
        for method in experiment["methods"]:
            for part in parts:
                files.append(self.layout.result(name, method, part, ".csv"))
                own = [self.layout.result(name, method, part, ".npz"), self.layout.measurements(name, "test", part)]
                arrays[str(files[-1])] = [str(path) for path in own]
                more += [path for path in own if path not in more]
        settings = settings | {"shown": experiment["shown"], "arrays": arrays}
        return Artifact("comparison", name, "experiments", files, settings, tuple(more))

    def scale_searches(self, name: str) -> list[str]:
        """Return the methods of an experiment that search for the weight of the data term."""
        methods = self.plan.experiments[name]["methods"]
        return [method for method, settings in methods.items() if "scale" in (settings["tune"] or {})]

    def prior_files(self, name: str, models: list[str]) -> list[Path]:
        """Return the evaluated priors of models at all perturbations."""
        kinds = self.config["priors"][name]["perturbations"]
        return [self.layout.prior(name, model, kind) for model in models for kind in kinds]

    def _evaluation_tables(self) -> dict[str, Artifact]:
        tables = {}
        for name, curves in self.config["curves"].items():
            files = self.layout.curves(name, curve_models(curves))
            settings = {"shown": curves["shown"], "repetitions": repetitions(curves)}
            tables[name] = Artifact("curves", name, "curves", files, settings)
        for name, priors in self.config["priors"].items():
            if files := self.prior_files(name, [priors["model"], *priors["others"]]):
                tables[name] = Artifact("priors", name, "priors", files, {"repetitions": repetitions(priors)})
        return tables

    def _result_tables(self) -> dict[str, Artifact]:
        tables = {}
        for table in sorted({experiment["table"] for experiment in self.plan.experiments.values()}):
            members = {name: e for name, e in self.plan.experiments.items() if e["table"] == table}
            files = [
                self.layout.result(name, method, part, ".csv")
                for name, experiment in members.items()
                for method in experiment["methods"]
                for part in self.plan.parts(name)
            ]
            settings = {"experiments": {name: self.problem(name) for name in members}, "published": PUBLISHED}
            tables[table] = Artifact("reconstructions", table, "experiments", files, settings, (Path(PUBLISHED),))
        return tables

    def problem(self, name: str) -> dict[str, Any]:
        """Return what a table says of an experiment, and what published results of it must agree with."""
        experiment = self.plan.experiments[name]
        titles = {method: settings["title"] for method, settings in experiment["methods"].items()}
        data = self.config["data"][experiment["data"]]["name"]
        own = {"data": data, "same_images": experiment["data"] in self.plan.facts["same_everywhere"], "methods": titles}
        own["certified"] = self.plan.facts["certified"][name]
        return {key: experiment[key] for key in ("title", "operator", "noise")} | own

    def _run_tables(self) -> dict[str, Artifact]:
        certificates = [self.layout.certificate(model) for model in self.plan.certifiable]
        files = []
        for name, curves in self.config["curves"].items():
            files += self.layout.curves(name, curve_models({**curves, "others": []}))
        for name, priors in self.config["priors"].items():
            if self.config["data"][self.plan.models[priors["model"]]["data"]]["name"] == self.published["data"]:
                files += self.prior_files(name, [priors["model"]])
        published = Artifact("published", "published", "run", files, {"published": PUBLISHED}, (Path(PUBLISHED),))
        tables = {"certificates": Artifact("certificates", "certificates", "run", certificates, {})} if certificates else {}
        return tables | ({"published": published} if files else {})
