"""The wheel and the sdist: the library alone, which works without the packages of the pipeline."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

USE = """
import sys

sys.modules |= dict.fromkeys(%s)  # as if they were not installed
import numpy as np

import lpn

assert lpn.__file__.startswith(%r)
images = np.random.default_rng(0).random((4, 1, 8, 8))
model = lpn.train(images, steps=8, batch_size=2, device="cpu")
assert lpn.prox(model, images).shape == images.shape
blur = lpn.make_operator({"name": "blur", "sigma": 1.0}, (1, 8, 8))
assert lpn.reconstruct(model, blur, np.zeros((1, 1, 12, 12)), iterations=1).shape == (1, 1, 8, 8)
lpn.save_model("model.pt", model)
assert lpn.load_model("model.pt", "cpu").config == model.config
"""
OTHERS = ["snakemake", "papermill", "nbconvert", "odl", "astra", "pandas", "matplotlib", "torchvision", "requests", "tqdm"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "lpn", source / "lpn", ignore=shutil.ignore_patterns("__pycache__"))
    command = ["uv", "build", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([*command, "--out-dir", "dist"], cwd=source, check=True)
    return source / "dist"


def test_they_hold_the_library_and_nothing_else(built: Path) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "lpn").rglob("*.py")} | {"lpn/py.typed"}
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as file:
        assert {name for name in file.namelist() if ".dist-info/" not in name} == modules
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert modules | {"pyproject.toml", "README.md", "LICENSE"} <= names


def test_figures_tables_and_choices_import_no_torch() -> None:
    program = "import sys, lpn.figures, lpn.grid, lpn.pages, lpn.tables; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_wheel_works_without_the_packages_of_the_pipeline(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    target = tmp_path / "target"
    install = ["uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", sys.executable, "--target", target]
    subprocess.run([*install, wheel], check=True)
    code = USE % (OTHERS, str(target))
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(target)}, check=True)
