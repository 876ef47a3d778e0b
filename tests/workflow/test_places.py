"""Runs in unusual places: elsewhere, as a module of another workflow, with odd texts in a locale without UTF-8."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from configuration import lay

from .conftest import TINY, Project, copy_project

LABEL = "Maße {x} 100% $5 中文 | <b> 'a' \\"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def snakemake(folder: Path, *arguments: str, **variables: str) -> str:
    """Run Snakemake on one core in a folder and return its output."""
    command = ["snakemake", "--cores", "1", *arguments]
    environment = Project.environment() | variables
    run = subprocess.run(command, cwd=folder, check=False, capture_output=True, encoding="utf-8", env=environment)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return run.stdout + run.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project whose label is odd, in a folder whose name is."""
    project = copy_project(tmp_path_factory.mktemp("source") / "my $project 'a'")
    project.write_config(lay(TINY, {"label": LABEL, "curves": {"laplacian": {"titles": {"laplacian_pm": LABEL}}}}))
    return project


def test_a_run_elsewhere(source: Project, tmp_path: Path) -> None:
    """Data, results and logs are in the working directory. Moved, also to another disk, nothing runs again."""
    work, disk = tmp_path / "work", tmp_path / "disk"
    (work / "here").mkdir(parents=True)
    source.folder.rename(work / source.folder.name)
    options = ["--snakefile", f"../{source.folder.name}/workflow/Snakefile", "curves"]
    try:
        home = {"HOME": "/dev/null", "XDG_CACHE_HOME": str(tmp_path / "cache")}
        snakemake(work / "here", *options, **ASCII, **home)
        tables = work / "here/results/tiny/tables"
        assert LABEL in (tables / "laplacian.csv").read_text(encoding="utf-8")
        assert LABEL.replace("<", r"\<").replace("|", r"\|") in (tables / "laplacian.md").read_text(encoding="utf-8")
        assert (work / "here/results/tiny/figures/laplacian_compact.pdf").exists()
        assert not (work / source.folder.name / "results").exists()
        snakemake(work / "here", *options[:2], "--report", "report.html", "curves", **ASCII)
        assert json.dumps(LABEL)[1:12] in (work / "here/report.html").read_text(encoding="utf-8")
        work = work.rename(tmp_path / "moved work")
        shutil.move(work / "here/results", disk)
        (work / "here/results").symlink_to(disk)
        assert "Nothing to be done" in snakemake(work / "here", *options)
    finally:
        shutil.move(work / source.folder.name, source.folder)


MODULE = """
module lpn:
    snakefile: "{snakefile}"

use rule * from lpn as lpn_*

rule all:
    default_target: True
    input: "results/tiny/tables/laplacian.csv"
"""


def test_a_module_of_another_workflow(source: Project, tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(MODULE.format(snakefile=source.folder / "workflow/Snakefile"))
    assert "lpn_curves_of_model        2" in snakemake(tmp_path, "--dry-run")
    snakemake(tmp_path, "results/tiny/models/laplacian_l2/model.pt")
    assert (tmp_path / "results/tiny/models/laplacian_l2/model.pt").exists()
    mine = tmp_path / "mine.yaml"
    mine.write_text(json.dumps(TINY | {"run": "mine"}))
    shutil.copy(source.folder / "config/median.py", tmp_path)
    planned = snakemake(tmp_path, "--dry-run", "--configfile", "mine.yaml", "--", "results/mine/models/mnist/model.pt")
    assert "Training mnist" in planned


def test_braces_in_the_name_of_the_folder(source: Project, tmp_path: Path) -> None:
    folder = tmp_path / "{project}"
    folder.symlink_to(source.folder)
    command = ["snakemake", "--snakefile", str(folder / "workflow/Snakefile"), "--dry-run"]
    run = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, encoding="utf-8")
    assert f"Rename the folder {folder}" in run.stdout + run.stderr
