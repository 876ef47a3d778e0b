"""Which jobs a run has, from which files and with which settings. The rules ask for all of it here."""

import itertools
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contents import Contents
from fingerprint import component_file, fingerprint
from layout import Layout, canonical

Settings = Mapping[str, Any]
Files = dict[str, Path]


class Plan:
    """The jobs of a run.

    Args:
        config: the complete configuration, which holds nothing that the run does not need (`configuration.resolve`).
        facts: what the package knows of it: which models have certificates, ... (`check.complete`).
        layout: all paths.
    """

    def __init__(self, config: dict[str, Any], facts: Settings, layout: Layout) -> None:
        self.config, self.facts, self.layout, self.contents = config, facts, layout, Contents()
        self.models: dict[str, Any] = config["models"]
        self.experiments: dict[str, Any] = {
            name: {**experiment, "methods": self._ordered(experiment["methods"])}
            for name, experiment in config["experiments"].items()
        }
        self.imported = [name for name, model in self.models.items() if "source" in model]
        self.trained = [name for name in self.models if name not in self.imported]
        self.certifiable: list[str] = facts["certifiable"]
        self.methods = sorted({name for experiment in self.experiments.values() for name in experiment["methods"]})

    def _ordered(self, methods: Settings) -> dict[str, Any]:
        """Return methods by kind: observations, then classical, unconstrained learned and certified priors."""

        def kind(name: str) -> tuple[bool, bool, bool]:
            model = learned_model(methods[name])
            return (methods[name]["solver"] is not None, model is not None, model in self.facts["certifiable"])

        return {name: methods[name] for name in sorted(methods, key=kind)}

    # Data

    def prepared_name(self, data: str) -> str:
        """Return the name of a prepared data set."""
        return self.layout.prepared_name(data, self.config["data"][data])

    @property
    def prepared(self) -> dict[str, str]:
        """The data sets to be prepared: the names of the prepared ones, and those of the configuration."""
        return {self.prepared_name(name): name for name in self.config["data"] if name not in self.facts["drawn"]}

    def data_files(self, data: str) -> list[Path]:
        """Return the arrays of a data set; none where samples are drawn."""
        return [] if data in self.facts["drawn"] else self.layout.data(self.prepared_name(data))

    def model_data(self, model: str) -> list[Path]:
        """Return the arrays that a model is trained and certified on; none where samples are drawn."""
        return self.data_files(self.models[model]["data"])

    def pairs_settings(self, model: str) -> dict[str, Any] | None:
        """Return how the images of a regulariser's training are measured, but for their noise; None for other models."""
        pairs = self.models[model].get("pairs")
        return pairs and {key: pairs[key] for key in ("operator", "seed")}

    def pairs_name(self, model: str) -> str | None:
        """Return the name of the pairs that a model is trained on, which other data or another operator change."""
        if not (settings := self.pairs_settings(model)):
            return None
        return self.layout.prepared_name(self.prepared_name(self.models[model]["data"]), settings)

    @property
    def pairs(self) -> dict[str, str]:
        """The pairs to be prepared, by their names: a model that is trained on them."""
        return {name: model for model in self.trained if (name := self.pairs_name(model))}

    def model_pairs(self, model: str) -> list[Path]:
        """Return the files of the pairs that a model is trained on; none for denoisers."""
        name = self.pairs_name(model)
        return self.layout.pairs(name) if name else []

    def dataset_settings(self, data: str) -> Settings:
        """Return the settings of a job that prepares a data set."""
        return {"dataset": self.config["data"][data]}

    def unchecked_source(self, data: str) -> str:
        """Return where data come from that may be others elsewhere."""
        known = data in self.facts["same_everywhere"]
        return "" if known else canonical([str(self.layout.folder), self.config["mirrors"]])

    # Models

    def init_model(self, model: str) -> list[Path]:
        """Return the model that a model's training starts from, if there is one."""
        init = self.models[model].get("init")
        return [self.layout.model(init)] if init else []

    def certified(self, model: str) -> Files:
        """Return a model and its certificate, if it has one, without which no result is made from it."""
        certificate = {"certificate": self.layout.certificate(model)} if model in self.certifiable else {}
        return {"model": self.layout.model(model)} | certificate

    def training_settings(self, model: str) -> dict[str, Any]:
        """Return all that decides a model's training, except the model it starts from."""
        settings = {key: value for key, value in self.models[model].items() if key not in ("data", "init", "logging")}
        data = self.models[model]["data"]
        return settings | {"dataset": self.config["data"][data] if data in self.facts["drawn"] else None}

    def import_settings(self, model: str) -> dict[str, Any]:
        """Return where a model comes from, its architecture and its checksum."""
        return {key: self.models[model][key] for key in ("source", "network", "sha256")}

    def certificate_settings(self, model: str) -> dict[str, Any]:
        """Return the settings of a certificate; scalar networks are examined on the grid of their evaluation."""
        grid = {}
        if not self.model_data(model):
            evaluations = list(self.config["curves"].values())
            own = [curves for curves in evaluations if model in curve_models(curves)]
            grid = {key: (own or evaluations)[0]["grid"][key] for key in ("low", "high")}
        return self.config["certificate"] | grid

    def code(self, script: str, settings: Any = None, model: str | None = None) -> str:
        """Return the fingerprint of the code of a job, which may load a model, and of the files that its settings name."""
        extra = [component_file("network", self.models[model]["network"]["name"])] if model else []
        text = canonical(settings)
        named = [file for file in self.facts["named"] if canonical(file) in text]
        if script == "import_model":  # reads the files beside the model
            named += [str(Path(file).with_name(name)) for file in named for name in ("model_config.json", "made_with.json")]
        return fingerprint(f"scripts/{script}.py", settings, extra) + self.contents.of(named)

    # Evaluations

    def curve_settings(self, curves: str, model: str) -> dict[str, Any]:
        """Return the settings of a scalar model's evaluation."""
        grid = {key: self.config["curves"][curves]["grid"][key] for key in ("low", "high", "points")}
        laplace = (
            self.config["data"][self.models[model]["data"]]["name"] == "laplace"
        )  # the only samples whose truth is known
        return grid | {"sigma": self.models[model]["sigma"] if laplace else None, "model": model}

    def prior_settings(self, priors: str, model: str, perturbation: str) -> dict[str, Any]:
        """Return the settings of one evaluation of a learned prior."""
        evaluation = self.config["priors"][priors]
        own = {"model": model, "perturbation": perturbation, "levels": evaluation["perturbations"][perturbation]["levels"]}
        return own | {key: evaluation[key] for key in ("images", "seed")} | evaluation["inversion"]

    def step_settings(self, priors: str) -> dict[str, Any]:
        """Return the settings of repeated proximal steps."""
        evaluation = self.config["priors"][priors]
        own = {key: evaluation["repeated"][key] for key in ("noise", "steps")}
        return own | {"model": evaluation["model"], "images": evaluation["repeated"]["rows"], "seed": evaluation["seed"]}

    # Experiments

    def parts(self, experiment: str) -> range:
        """Return the numbers of the jobs that an experiment's images are split into."""
        settings = self.experiments[experiment]
        return range(-(-settings["images"] // settings["images_per_job"]))

    def measured_data(self, experiment: str, split: str) -> list[Path]:
        """Return the arrays whose test or validation images an experiment measures."""
        settings = self.experiments[experiment]
        tuning = settings["tuning"]["data"] if split == "validation" else None
        return self.data_files(tuning or settings["data"])

    def measurement_settings(self, experiment: str, split: str, part: int) -> dict[str, Any]:
        """Return the settings of the measurements of one part of an experiment's images."""
        settings = self.experiments[experiment]
        first = part * settings["images_per_job"]
        images = {"first": first, "images": min(settings["images_per_job"], settings["images"] - first), "crop": None}
        if split == "validation":
            images = {"first": 0, "images": settings["tuning"]["images"], "crop": settings["tuning"]["crop"]}
        return {key: settings[key] for key in ("operator", "noise", "seed")} | {"split": split} | images

    def method_model(self, experiment: str, method: str) -> str | None:
        """Return the model of a method with a learned prior."""
        return learned_model(self.experiments[experiment]["methods"][method])

    def method_files(self, experiment: str, method: str) -> Files:
        """Return the model of a method with a learned prior, with its certificate; else nothing."""
        model = self.method_model(experiment, method)
        return self.certified(model) if model else {}

    def method_settings(self, experiment: str, method: str) -> dict[str, Any]:
        """Return all that decides a reconstruction, except its measurements, its model and its tuned parameters."""
        settings = self.experiments[experiment]
        own = {key: value for key, value in settings["methods"][method].items() if key not in ("title", "tune")}
        return {key: settings[key] for key in ("operator", "seed", "clip", "border", "channelwise")} | {"method": own}

    def reconstruction_settings(self, experiment: str, method: str, part: int) -> dict[str, Any]:
        """Return the settings of one job of reconstructions."""
        first = part * self.experiments[experiment]["images_per_job"]
        names = {"experiment": experiment, "method_name": method}
        return self.method_settings(experiment, method) | names | {"first": first}

    def grid_parts(self, experiment: str, method: str) -> dict[str, list[dict[str, Any]]]:
        """Return the points of each job of a grid search, by its values of the first key: a new value moves no other one."""
        rows, count = self.facts["rows"][experiment][method], self.experiments[experiment]["tuning"]["values_per_job"]
        parts = [rows[first : first + count] for first in range(0, len(rows), count)]
        names = ["_".join(str(next(iter(row[0].values()))) for row in part) for part in parts]
        return {name: list(itertools.chain(*part)) for name, part in zip(names, parts, strict=True)}

    def tuning_settings(self, experiment: str, method: str, values: str) -> dict[str, Any]:
        """Return the settings of one job of a grid search."""
        return self.method_settings(experiment, method) | {"points": self.grid_parts(experiment, method)[values]}

    def score_files(self, experiment: str, method: str) -> list[Path]:
        """Return the scores of all jobs of a grid search."""
        return [self.layout.scores(experiment, method, values) for values in self.grid_parts(experiment, method)]

    def chosen_parameters(self, experiment: str, method: str) -> list[Path]:
        """Return the result of a method's grid search, if it has one."""
        tuned = self.experiments[experiment]["methods"][method]["tune"]
        return [self.layout.chosen(experiment, method)] if tuned else []


def learned_model(method: Settings) -> str | None:
    """Return the model of a method with a learned prior."""
    if method["regulariser"]:
        return method["regulariser"]["model"]
    prox = method["prox"]
    return prox["model"] if prox and prox["name"] == "learned" else None


def curve_models(curves: Settings) -> list[str]:
    """Return the models of an evaluation of scalar networks, each once."""
    shown = (name for names in curves["figures"].values() for name in names)
    return list(dict.fromkeys([*shown, *curves["others"]]))


def per_attempt(amount: int) -> Any:
    """Return a resource (MB or minutes) that grows with every retry of a job, as a function for a rule."""
    return lambda wildcards, attempt: amount * attempt


def option(name: str, paths: list[Path]) -> str:
    """Return a quoted command line option with the only path of a list, or nothing for an empty list."""
    return f"--{name} {shlex.quote(str(paths[0]))}" if paths else ""


def data_option(files: list[Path]) -> str:
    """Return the option that names the folder of a prepared data set, or nothing where samples are drawn."""
    return folder_option("data", files)


def folder_option(name: str, files: list[Path]) -> str:
    """Return a quoted command line option with the folder of files, or nothing for no files."""
    return option(name, [Path(file).parent for file in files])
