"""All paths of a run."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPLITS = ("train", "validation", "test")
FIGURE_FORMATS = ("pdf", "png", "html")


def canonical(value: Any) -> str:
    """Return settings as one canonical JSON string: the form in which Snakemake compares params reliably."""
    return json.dumps(value, sort_keys=True)


@dataclass(frozen=True)
class Layout:
    """Where the files of a run are.

    Attributes:
        run: name of the run.
        folder: folder of the raw data, in which `prepared/` is.
    """

    run: str
    folder: Path

    @property
    def out(self) -> Path:
        """Folder of the results."""
        return Path("results") / self.run

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return Path("logs") / self.run

    @property
    def prepared(self) -> Path:
        """Folder of the prepared data, which runs share."""
        return self.folder / "prepared"

    @staticmethod
    def prepared_name(name: str, settings: Mapping[str, Any]) -> str:
        """Return the name of a prepared data set, which other settings change."""
        return f"{name}-{hashlib.sha256(canonical(settings).encode()).hexdigest()[:6]}"

    def data(self, prepared_name: str) -> list[Path]:
        """Return the arrays of a prepared data set."""
        return [self.prepared / prepared_name / f"{split}.npy" for split in SPLITS]

    def pairs(self, name: str) -> list[Path]:
        """Return the files of prepared pairs of images and reconstructions."""
        arrays = [f"{split}_{array}.npy" for split in SPLITS[:2] for array in ("y", "start")]
        return [self.prepared / name / file for file in (*arrays, "pairs.json")]

    def model(self, name: str, file: str = "model.pt") -> Path:
        """Return a file of a model, by default its weights."""
        return self.out / "models" / name / file

    def model_files(self, name: str, *, trained: bool) -> list[Path]:
        """Return all files of a model: trained by the run, or imported."""
        files = ["model.pt", "model_config.json", "made_with.json", *(["training.csv"] if trained else [])]
        return [self.model(name, file) for file in files]

    def certificate(self, name: str) -> Path:
        """Return the certificate of a model."""
        return self.out / "certificates" / f"{name}.json"

    def checkpoints(self, name: str, code: str) -> Path:
        """Return where a training's resumable state is: apart from the outputs, which Snakemake deletes on a rerun."""
        return self.out / "checkpoints" / name / code

    def curves(self, name: str, models: Iterable[str]) -> list[Path]:
        """Return the evaluated curves of scalar models."""
        return [self.out / "curves" / name / f"{model}.csv" for model in models]

    def prior(self, name: str, model: str, perturbation: str, suffix: str = ".csv") -> Path:
        """Return an evaluated prior at a perturbation, or at repeated "steps": R (.csv), or its images (.npz)."""
        return self.out / "priors" / name / model / f"{perturbation}{suffix}"

    def experiment(self, name: str) -> Path:
        """Return the folder of an experiment."""
        return self.out / "experiments" / name

    def measurements(self, name: str, split: str, part: int | str) -> Path:
        """Return the measurements of one part of an experiment's images."""
        return self.experiment(name) / "measurements" / f"{split}_{part}.npz"

    def result(self, name: str, method: str, part: int | str, suffix: str) -> Path:
        """Return a result of a method: ".csv" (a row an image), "_iterations.csv" or ".npz" (the images)."""
        return self.experiment(name) / method / f"{part}{suffix}"

    def chosen(self, name: str, method: str) -> Path:
        """Return the parameters that a method's grid search chose."""
        return self.experiment(name) / "tuning" / f"{method}.json"

    def scores(self, name: str, method: str, values: str) -> Path:
        """Return the scores of one job of a grid search, named by its values of the first key."""
        return self.experiment(name) / "tuning" / method / f"{values}.json"

    def figure(self, name: str) -> list[Path]:
        """Return the files of a figure."""
        return [self.out / "figures" / f"{name}.{suffix}" for suffix in FIGURE_FORMATS]

    @property
    def page(self) -> Path:
        """The page of the run."""
        return self.out / "index.html"

    def table(self, name: str) -> Path:
        """Return the CSV file of a table."""
        return self.out / "tables" / f"{name}.csv"
