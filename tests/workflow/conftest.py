"""A copy of the project with a small configuration, in which workflows run for real."""

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent

LAPLACIAN = {
    "network": {"name": "lpn_1d", "hidden": 16, "layers": 2},
    "data": "laplace",
    "sigma": 1.0,
    "seed": 1,
    "batch_size": 100,
}
TINY = {
    "run": "tiny",
    "label": "tiny test run",
    "data": {"folder": "data", "mirrors": [], "counts": {}},
    "models": {
        "laplacian_l2": LAPLACIAN | {"phases": [{"loss": "l2", "steps": 300, "lr": 1e-2}]},
        "laplacian_pm": LAPLACIAN
        | {"init": "laplacian_l2", "phases": [{"loss": "proximal_matching", "gamma": [0.5], "steps": 20, "lr": 1e-3}]},
        "mnist": {
            "network": {"name": "lpn_28", "hidden": 2},
            "data": "mnist",
            "sigma": 0.1,
            "seed": 0,
            "batch_size": 4,
            "validation_images": 2,
            "phases": [{"loss": "l1", "steps": 5, "lr": 1e-3}],
        },
        "faces": {
            "network": {"name": "lpn_128", "channels": 3, "hidden": 2, "size": 16, "alpha": 0.1},
            "data": "celeba",
            "sigma": 0.1,
            "seed": 0,
            "batch_size": 2,
            "validation_images": 2,
            "phases": [{"loss": "l1", "steps": 3, "lr": 1e-3}],
        },
        "dncnn": {
            "network": {"name": "dncnn", "channels": 3, "depth": 3, "hidden": 4},
            "data": "photographs",
            "patch": 16,
            "sigma": 0.1,
            "seed": 0,
            "batch_size": 2,
            "validation_images": 2,
            "phases": [{"loss": "l2", "steps": 3, "lr": 1e-3, "final_lr": 1e-4}],
        },
    },
    "certificate": {"points": 4, "lanczos_steps": 5, "inversion_tolerance": 1e-3, "seed": 0},
    "laplacian": {
        "grid": {"low": -2, "high": 2, "points": 21},
        "shown": 1.5,
        "figures": {"compact": ["laplacian_l2", "laplacian_pm"]},
        "sensitivity": [],
        "titles": {"laplacian_l2": "l2"},
    },
    "mnist": {
        "model": "mnist",
        "sensitivity": [],
        "images": 4,
        "seed": 0,
        "inversion": {"method": "newton_cg", "tolerance": 1e-6, "max_iterations": 100},
        "perturbations": {"gaussian": {"levels": [0, 0.1], "rows": [0], "symbol": "s"}},
    },
    "inverse": {
        "images_per_job": 2,
        "tuning_images": 1,
        "methods": {
            "observation": {"title": "Observed", "solver": "observation"},
            "tv": {
                "title": "TV",
                "solver": "admm",
                "prox": {"name": "tv", "weight": 0.05},
                "rho": 0.1,
                "scale": 0.5,
                "iterations": 2,
                "tune": {"prox.weight": [0.05, 0.1]},
            },
            "lpn": {
                "title": "LPN",
                "solver": "admm",
                "prox": {"model": "faces"},
                "rho": 0.1,
                "scale": 0.5,
                "iterations": 2,
                "box": True,
            },
            "dncnn": {"title": "DnCNN", "solver": "pgd", "prox": {"model": "dncnn"}, "scale": 0.5, "iterations": 2},
        },
        "experiments": {
            "deblur": {
                "title": "Deblurring",
                "table": "deblurring",
                "data": "celeba",
                "images": 3,
                "operator": {"name": "blur", "sigma": 1.0},
                "noise": 0.02,
                "seed": 0,
                "clip": False,
                "shown": [0, 2],
                "methods": {"observation": {}, "tv": {}, "lpn": {}, "dncnn": {}},
            },
        },
    },
}


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
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def kill_tree(snakemake: subprocess.Popen) -> None:
    """SIGKILL a Snakemake process with all its jobs, as a power failure does."""
    processes = [psutil.Process(snakemake.pid), *psutil.Process(snakemake.pid).children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    snakemake.wait()


def copy_project(folder: Path) -> Project:
    """Copy what git tracks or would track, with the tiny configuration and made images in place of MNIST and CelebA."""
    names = ["workflow", "scripts", "lpn", "config", "environment.yml", "requirements.lock"]
    for name in names:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name, **({"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}))
    project = Project(folder)
    project.write_config(TINY)
    shapes = {"mnist": (10, 1, 28, 28), "celeba": (4, 3, 32, 32)}
    for (name, shape), split in itertools.product(shapes.items(), ("train", "validation", "test")):
        place = folder / "data/prepared" / name
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
