"""A small configuration: completed in this process, or in a copy of the project, in which workflows run for real."""

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from lpn.settings import component

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "workflow"))

import configuration
from layout import Layout
from plan import Plan

ROOT = configuration.ROOT
LAPLACIAN = {
    "network": {"name": "lpn_scalar", "hidden": 16, "layers": 2},
    "data": "laplace",
    "sigma": 1.0,
    "seed": 1,
    "batch_size": 100,
}
TINY = {
    "run": "tiny",
    "label": "tiny test run",
    "make": ["laplacian", "mnist", "deblur"],
    "data": {"celeba": {"name": "celeba", "count": None}},
    "models": {
        "laplacian_l2": LAPLACIAN | {"phases": [{"loss": "l2", "steps": 300, "lr": 1e-2}]},
        "laplacian_pm": LAPLACIAN
        | {
            "init": "laplacian_l2",
            "phases": [{"loss": {"name": "proximal_matching", "gamma": [0.5]}, "steps": 20, "lr": 1e-3}],
        },
        "mnist": {
            "network": {"name": "lpn_28", "hidden": 2},
            "data": "mnist",
            "sigma": 0.1,
            "seed": 0,
            "batch_size": 4,
            "logging": {"validation_images": 2},
            "phases": [{"loss": "l1", "steps": 5, "lr": 1e-3}],
        },
        "faces": {
            "network": {"name": "lpn_patch", "channels": 3, "hidden": 2, "size": 16, "alpha": 0.1},
            "data": "celeba",
            "augment": "flips",
            "sigma": 0.1,
            "seed": 0,
            "batch_size": 2,
            "logging": {"validation_images": 2},
            "phases": [{"loss": "l1", "steps": 3, "lr": 1e-3}],
        },
        "dncnn": {
            "network": {"name": "dncnn", "channels": 3, "depth": 3, "hidden": 4},
            "data": "photographs",
            "patch": 16,
            "sigma": 0.1,
            "seed": 0,
            "batch_size": 2,
            "logging": {"validation_images": 2},
            "phases": [{"loss": "l2", "steps": 3, "lr": 1e-3, "final_lr": 1e-4}],
        },
    },
    "certificate": {"points": 4, "lanczos_steps": 5},
    "curves": {
        "laplacian": {
            "grid": {"low": -2, "high": 2, "points": 21},
            "shown": 1.5,
            "figures": {"compact": ["laplacian_l2", "laplacian_pm"]},
            "titles": {"laplacian_l2": "l2"},
        }
    },
    "priors": {
        "mnist": {
            "model": "mnist",
            "images": 4,
            "seed": 0,
            "inversion": {"max_iterations": 100},
            "perturbations": {"gaussian": {"levels": [0, 0.1], "rows": [0], "symbol": "s"}},
            "repeated": {"noise": 0.3, "steps": [0, 2], "rows": [1]},
        }
    },
    "methods": {
        "observation": {"title": "Observed"},
        "tv": {
            "title": "TV",
            "solver": {"name": "admm", "rho": 0.1},
            "prox": {"name": "tv", "weight": 0.05},
            "scale": 0.5,
            "iterations": 2,
            "tune": {"prox.weight": [0.05, 0.1]},
        },
        "lpn": {
            "title": "LPN",
            "solver": {"name": "admm", "rho": 0.1, "box": True},
            "prox": {"model": "faces"},
            "scale": 0.5,
            "iterations": 2,
        },
        "dncnn": {
            "title": "DnCNN",
            "solver": {"name": "pgd"},
            "prox": {"model": "dncnn"},
            "scale": 0.5,
            "iterations": 2,
        },
        "plug_in": {
            "title": "Median",
            "solver": {"name": "pgd"},
            "prox": {"name": "median.py:Median", "size": 3},
            "scale": 0.5,
            "iterations": 2,
        },
    },
    "experiments": {
        "deblur": {
            "title": "Deblurring",
            "table": "deblurring",
            "data": "celeba",
            "images": 3,
            "images_per_job": 2,
            "tuning": {"images": 1},
            "operator": {"name": "blur", "sigma": 1.0},
            "noise": 0.05,  # of no published result
            "seed": 0,
            "clip": False,
            "shown": [0, 2],
            "methods": ["observation", "tv", "lpn", "dncnn", "plug_in"],
        },
    },
}
MEDIAN = '''"""A median filter."""

import torch
from lpn.denoisers import Denoiser
from pydantic import Field, PositiveInt
from scipy.ndimage import median_filter
from torch import Tensor


class Median(Denoiser):
    """The median over squares."""

    size: PositiveInt = Field(3, description="side of the squares, in pixels")

    def __call__(self, v: Tensor) -> Tensor:
        """Return the filtered images."""
        return torch.from_numpy(median_filter(v.numpy(), (1, 1, self.size, self.size)))
'''


CRITIC = {
    "network": {"name": "ar", "channels": 3, "size": 128, "hidden": 1, "linear": 2},
    "data": "celeba",
    "pairs": {"operator": {"name": "blur", "sigma": 1.0}, "noise": 0.1},
    "seed": 0,
    "batch_size": 1,
    "phases": [{"loss": "critic", "steps": 1, "lr": 1e-3}],
}


@dataclass
class Checker:
    """Completes configurations in this process. `folder` holds their files, and plug-ins."""

    folder: Path

    def files(self, *configs: Mapping[str, Any] | str) -> list[Path]:
        """Write configurations, or the text of their files."""
        paths = [self.folder / f"{number}.yaml" for number in range(len(configs))]
        for path, config in zip(paths, configs, strict=True):
            path.write_text(config if isinstance(config, str) else json.dumps(config))  # JSON is YAML
        return paths

    def complete(self, *configs: Mapping[str, Any] | str, **overrides: object) -> dict[str, Any]:
        """Return what files of these contents give together, without the definitions of the papers."""
        import check

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(configuration, "LIBRARY", self.folder / "none")
            patch.setenv("LPN_DATA", "")  # so that it is restored
            patch.delenv("LPN_DATA")
            return check.complete(self.files(*configs), overrides)

    def tiny(self, update: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the tiny configuration complete, with an update laid over it."""
        return self.complete(configuration.lay(TINY, update or {}))


@pytest.fixture(scope="session")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Checker:
    """A checker with the plug-in of the tiny configuration."""
    folder = tmp_path_factory.mktemp("configurations")
    (folder / "median.py").write_text(MEDIAN)
    return Checker(folder)


@pytest.fixture(scope="session")
def plan(checker: Checker) -> Plan:
    """The plan of the tiny configuration."""
    complete = checker.tiny()
    return Plan(complete["config"], complete["facts"], Layout("tiny", Path("data")))


@dataclass
class Project:
    """A copy of the repository in `folder`."""

    folder: Path

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake on one core."""
        command = ["snakemake", "--cores", "1", *arguments]
        run = subprocess.run(command, cwd=self.folder, check=False, capture_output=True, text=True, env=self.environment())
        if check and run.returncode:
            pytest.fail(f"{' '.join(command)} failed:\n{run.stdout[-3000:]}\n{run.stderr[-6000:]}")
        return run

    @staticmethod
    def environment() -> dict[str, str]:
        """Return the environment of jobs: this Python first, and no data folder of the user's."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {name: value for name, value in os.environ.items() if name != "LPN_DATA"} | {"PATH": path}

    def planned(self, *arguments: str) -> set[str]:
        """Return the messages of the jobs that would run."""
        run = self.snakemake("--dry-run", *arguments)
        return set(re.findall(r"^Job \d+: (.*)$", run.stdout + run.stderr, re.MULTILINE))

    def write_config(self, config: dict) -> None:
        """Replace the configuration."""
        (self.folder / "config/paper.yaml").write_text(json.dumps(config))  # JSON is YAML


def kill_tree(snakemake: subprocess.Popen) -> None:
    """SIGKILL a Snakemake process with all its jobs, as a power failure does."""
    processes = [psutil.Process(snakemake.pid), *psutil.Process(snakemake.pid).children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    snakemake.wait()


def prepared(name: str, **settings: object) -> str:
    """Return the name of a prepared data set of the tiny configuration."""
    own = TINY["data"].get(name, {"name": name}) | settings
    return Layout.prepared_name(name, component("dataset", own["name"]).model_validate(own).model_dump(mode="json"))


def copy_project(folder: Path) -> Project:
    """Copy what git tracks or would track, with the tiny configuration and made images in place of MNIST and CelebA."""
    names = ["workflow", "scripts", "lpn", "config", "environment.yml", "requirements.lock"]
    for name in names:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name, **({"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}))
    shutil.rmtree(folder / "config/paper")  # the tiny configuration defines all that it uses
    project = Project(folder)
    project.write_config(TINY)
    (folder / "config/median.py").write_text(MEDIAN)
    shapes = {"mnist": (10, 1, 28, 28), "celeba": (4, 3, 32, 32)}
    for (name, shape), split in itertools.product(shapes.items(), ("train", "validation", "test")):
        place = folder / "data/prepared" / prepared(name)
        place.mkdir(parents=True, exist_ok=True)
        np.save(place / f"{split}.npy", np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8))
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A copy in which nothing has run."""
    return copy_project(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A copy in which everything has run."""
    project = copy_project(tmp_path_factory.mktemp("finished"))
    project.snakemake()
    yield project
    shutil.rmtree(project.folder)
