"""A copy of the project with a small configuration, in which workflows run for real."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
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
    "data": {"folder": "data", "mirrors": []},
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
    },
    "certificate": {"points": 4, "lanczos_steps": 5, "inversion_tolerance": 1e-3, "seed": 0},
    "laplacian": {
        "grid": {"low": -2, "high": 2, "points": 21},
        "shown": 1.5,
        "figures": {"compact": ["laplacian_l2", "laplacian_pm"]},
        "titles": {"laplacian_l2": "l2"},
    },
    "mnist": {
        "model": "mnist",
        "images": 4,
        "seed": 0,
        "inversion": {"method": "newton_cg", "tolerance": 1e-6, "max_iterations": 100},
        "perturbations": {"gaussian": {"levels": [0, 0.1], "rows": [0], "symbol": "s"}},
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
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(config))


def copy_project(folder: Path) -> Project:
    """Copy what git tracks or would track, with the tiny configuration and made images in place of MNIST."""
    names = ["workflow", "scripts", "lpn", "config", "environment.yml"]
    for name in names:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name, **({"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}))
    project = Project(folder)
    project.write_config(TINY)
    (folder / "data/prepared").mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (60000, 28, 28)).astype(np.uint8)
    np.save(folder / "data/prepared/mnist.npy", images)
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
