"""What a finished run says of itself: its record, its archive, and what both say after edits, upgrades and copies."""

import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from .conftest import TINY, Project, copy_project

CONFIG = TINY | {"make": ["laplacian"]}
RESULTS = "results/tiny"


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder."""
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit_all(folder: Path) -> None:
    """Make a folder a repository with one commit."""
    (folder / ".gitignore").write_text("__pycache__\n.snakemake\ndata\nresults\nlogs\nout\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "all")


def script(project: Project, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of a project."""
    command = [sys.executable, *arguments]
    variables = project.environment() | {"PYTHONPATH": str(project.folder)} | environment
    return subprocess.run(command, cwd=project.folder, check=False, capture_output=True, text=True, env=variables)


def record(project: Project, **environment: str) -> dict[str, Any]:
    """Return the record of a run without results, written into `out`."""
    options = ["--config", "config/paper.yaml", "--logs", "logs", "--output", "out"]
    run = script(project, "scripts/provenance.py", *options, **environment)
    assert run.returncode == 0, run.stderr
    return json.loads((project.folder / "out/provenance.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run in a repository."""
    project = copy_project(tmp_path_factory.mktemp("whole"))
    project.write_config(CONFIG)
    commit_all(project.folder)
    project.snakemake()
    return project


@pytest.fixture
def finished(whole: Project, tmp_path: Path) -> Iterator[Project]:
    """A copy of the finished run, with its times."""
    yield Project(shutil.copytree(whole.folder, tmp_path / "copy"))
    shutil.rmtree(tmp_path / "copy")


def archive(project: Project) -> tuple[subprocess.CompletedProcess[str], dict[str, bytes]]:
    """Archive the run; return what the script said, and the files of the archive."""
    run = script(project, "scripts/archive.py", RESULTS, "--logs", "logs/tiny", "--output", "tiny.zip")
    if run.returncode:
        return run, {}
    assert script(project, "tiny.zip").returncode == 0
    with zipfile.ZipFile(project.folder / "tiny.zip") as file:
        return run, {name: file.read(name) for name in file.namelist()}


def verify(project: Project) -> tuple[int, list[str]]:
    """Verify the run; return the exit code and the lines that name files."""
    run = script(project, "scripts/verify_run.py")
    return run.returncode, run.stdout.splitlines()


# Code


def test_commit_and_changes_are_recorded(project: Project) -> None:
    folder = project.folder
    commit_all(folder)
    assert record(project)["git"] == {"commit": git(folder, "rev-parse", "HEAD"), "dirty": False, "not_recorded": {}}
    with (folder / "lpn/seeds.py").open("a") as file:
        file.write("# un été\n")
    (folder / "lpn/mine.py").write_text("# a new file\n")
    (folder / "config/huge.yaml").write_text("x" * (2**20 + 1))
    (folder / "patients").mkdir()
    (folder / "patients/scan.py").write_text("a patient\n")  # not in a folder of code
    (folder / "lpn/model.pt").write_bytes(b"weights")
    found = record(project)["git"]
    assert found["dirty"]
    assert found["not_recorded"] == {"config/huge.yaml": 2**20 + 1, "lpn/model.pt": 7, "patients/scan.py": 10}
    assert "config/huge.yaml" in (folder / "out/provenance.md").read_text()
    patch = (folder / "out/changes.patch").read_text()
    assert "a patient" not in patch
    git(folder, "stash", "--include-untracked")
    git(folder, "apply", "out/changes.patch")
    assert (folder / "lpn/mine.py").read_text() == "# a new file\n"
    assert (folder / "lpn/seeds.py").read_text().endswith("# un été\n")


def ignored_by_a_repository_around_it(folder: Path) -> None:
    """Make the folder around a project a repository that ignores it."""
    (folder.parent / ".gitignore").write_text(f"{folder.name}\n")
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "add", ".gitignore")
    git(folder.parent, "commit", "--quiet", "--message", "another project")


@pytest.mark.parametrize(
    ("prepare", "environment", "reason"),
    [
        (lambda folder: None, {}, "not a git repository"),
        (commit_all, {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}, "detected dubious ownership in repository"),
        (ignored_by_a_repository_around_it, {}, "pathspec 'workflow/Snakefile' did not match"),
        (lambda folder: git(folder, "init", "--quiet"), {}, "pathspec 'workflow/Snakefile' did not match"),
        (commit_all, {"PATH": ""}, "git is not installed"),
    ],
)
def test_no_commit_is_recorded_without_one(
    tmp_path: Path, prepare: Callable[[Path], None], environment: dict[str, str], reason: str
) -> None:
    (tmp_path / "project").mkdir()
    project = copy_project(tmp_path / "project")
    prepare(project.folder)
    found = record(project, **environment)["git"]
    assert found["commit"] is None
    assert reason in found["reason"]
    assert reason in (project.folder / "out/provenance.md").read_text()


# Edit and archive


def test_the_archive_holds_the_code_that_made_the_run(finished: Project) -> None:
    folder = finished.folder
    original = (folder / "lpn/seeds.py").read_bytes()
    (folder / "lpn/seeds.py").write_text("# nothing is left\n")
    (folder / "model.pt").write_bytes(b"the user's")
    stale = folder / RESULTS / "curves/laplacian/removed.csv"
    stale.write_text("of a model that the run no longer has\n")
    git(folder, "commit", "--quiet", "--all", "--message", "later")
    _, files = archive(finished)
    assert files["lpn/seeds.py"] == original
    assert f"{RESULTS}/tables/laplacian.csv" in files
    assert "logs/tiny/train/laplacian_l2.log" in files
    assert "model.pt" not in files
    assert not [name for name in files if "removed" in name]


def test_the_archive_holds_uncommitted_code(finished: Project) -> None:
    folder = finished.folder
    (folder / "lpn/mine.py").write_text("# new\n")
    (folder / "lpn/tables.py").write_text((folder / "lpn/tables.py").read_text() + "\n\nMORE = 1\n")
    finished.snakemake()
    (folder / "lpn/mine.py").unlink()
    git(folder, "checkout", "lpn/tables.py")
    _, files = archive(finished)
    assert files["lpn/mine.py"] == b"# new\n"
    assert b"MORE = 1" in files["lpn/tables.py"]


def test_archives_of_lost_code_or_changed_results_are_refused(finished: Project) -> None:
    folder = finished.folder
    shutil.rmtree(folder / ".git")
    commit_all(folder)
    git(folder, "commit", "--quiet", "--allow-empty", "--amend", "--message", "another")
    (run, _) = archive(finished)
    assert "can't be read" in run.stderr
    assert "Fetch it, or run again, then archive." in run.stderr
    path = folder / RESULTS / "tables/laplacian.csv"
    path.write_bytes(path.read_bytes() + b"\n")
    (run, _) = archive(finished)
    assert run.returncode
    shutil.rmtree(folder / ".git")
    finished.snakemake("--forcerun", "provenance")
    path.unlink()
    finished.snakemake()
    assert f"{RESULTS}/tables/laplacian.csv" in archive(finished)[1]
    (folder / "lpn/seeds.py").write_text("# other code\n")
    (run, _) = archive(finished)
    assert "the code is not that of the run any more, and no commit holds the old one (fatal: not a git repo" in run.stderr


# Verify


def test_a_run_verifies_itself(finished: Project) -> None:
    folder = finished.folder
    code, lines = verify(finished)
    assert (code, len(lines)) == (0, 1)
    assert lines[0].endswith("files have the bytes, code, settings and data of the record")
    curve = folder / RESULTS / "curves/laplacian/laplacian_pm.csv"
    times = curve.stat().st_atime_ns, curve.stat().st_mtime_ns
    curve.write_text(curve.read_text().replace("0.", "1.", 1))
    os.utime(curve, ns=times)  # no time shows it
    (folder / RESULTS / "models/laplacian_l2/training.csv").unlink()
    config = json.loads((folder / "config/paper.yaml").read_text())
    config["curves"]["laplacian"]["shown"] = 1.0
    finished.write_config(config)
    code, lines = verify(finished)
    found = dict(line.split(" ", 1) for line in lines)
    assert code == 1
    assert found[f"{RESULTS}/curves/laplacian/laplacian_pm.csv"] == "holds other bytes than its job wrote"
    assert found[f"{RESULTS}/models/laplacian_l2/training.csv"] == "is missing"
    assert found[f"{RESULTS}/tables/laplacian.csv"].startswith("would be made again (params changed")
    assert "bytes" not in found.get(f"{RESULTS}/models/laplacian_l2/model.pt", "")


# Upgrade and redraw


def test_an_upgrade_shows_at_what_was_made_after_it(finished: Project) -> None:
    folder = finished.folder
    assert json.loads((folder / RESULTS / "provenance/provenance.json").read_text())["mixed"] == {}
    (folder / "sitecustomize.py").write_text("import pydantic\npydantic.__version__ = '99.0'\n")  # what Python runs first
    config = json.loads((folder / "config/paper.yaml").read_text())
    config["curves"]["laplacian"]["titles"]["laplacian_pm"] = "proximal matching"
    finished.write_config(config)
    finished.snakemake()
    found = json.loads((folder / RESULTS / "provenance/provenance.json").read_text())
    assert found["mixed"].keys() == {"pydantic"}
    assert set(found["mixed"]["pydantic"]["99.0"]) == {"figures/laplacian_compact", "page"}
    assert (
        "**This run is mixed: its jobs differ in pydantic.**" in (folder / RESULTS / "provenance/provenance.md").read_text()
    )
    jobs = pd.read_csv(folder / RESULTS / "provenance/jobs.csv").set_index("job")
    assert "pydantic-99.0" in jobs.loc["figures/laplacian_compact", "packages"]
    assert "pydantic-99.0" not in jobs.loc["train/laplacian_l2", "packages"]
    assert set(jobs["python"]) == {".".join(map(str, sys.version_info[:3]))}


# Copy and rerun


def test_a_copy_with_new_times_runs_nothing_again(finished: Project) -> None:
    draws = random.Random(0)
    for path in sorted(path for path in finished.folder.rglob("*") if path.is_file() and ".snakemake" not in path.parts):
        os.utime(path, (draws.randrange(10**9), draws.randrange(10**9)))
    finished.snakemake("--touch")
    assert "Nothing to be done" in "".join((run := finished.snakemake()).stdout + run.stderr)
    assert verify(finished)[0] == 0
