"""The record of a run names the code that made it. (`test_rerun_matrix.py` tests the record of a whole run.)"""

import json
import subprocess
import sys
from typing import Any

from .conftest import Project


def record(project: Project) -> dict[str, Any]:
    """Return the record of a run that has left its logs in `logs`; it is written into `out`."""
    options = ["--config", "config/paper.yaml", "--logs", "logs", "--output", "out"]
    subprocess.run([sys.executable, "scripts/provenance.py", *options], cwd=project.folder, check=True)
    return json.loads((project.folder / "out/provenance.json").read_text())


def test_commit_and_changes_are_recorded(project: Project) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *arguments]
        return subprocess.run(command, cwd=project.folder, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "all")
    for dirty in (False, True):
        if dirty:
            with (project.folder / "lpn/seeds.py").open("a") as file:
                file.write("# a change\n")
            (project.folder / "lpn/mine.py").write_text("# a new file\n")
            (project.folder / "notes.txt").write_bytes("un été\n".encode("latin-1"))
        else:
            (project.folder / ".gitignore").write_text("__pycache__\nout\n.gitignore\n")
        found = record(project)
        assert found["git"] == {"commit": git("rev-parse", "HEAD"), "dirty": dirty}
        assert found["job_packages"] == {}  # there are no logs
        patch = (project.folder / "out/changes.patch").read_text(errors="replace")
        assert ("+# a change" in patch) == ("+# a new file" in patch) == dirty
    git("stash", "--include-untracked")
    git("apply", "out/changes.patch")
    assert (project.folder / "lpn/mine.py").read_text() == "# a new file\n"
    assert (project.folder / "notes.txt").read_text("latin-1") == "un été\n"
    assert (project.folder / "lpn/seeds.py").read_text().endswith("# a change\n")


def test_versions_of_packages_are_counted_by_jobs(project: Project) -> None:
    logs = {
        "train/a.log": "machine: one\npackages: torch 2.0, numpy 1.9\n",
        "train/b.log": "machine: two\npackages: torch 2.0, numpy 1.9\npackages: torch 2.0, numpy 1.9\n",  # one job
        "measure/c.log": "machine: one\npackages: torch 1.0, numpy 1.9\n",
        "figures/d.log": "no packages: torch 3.0\n",
    }
    for name, text in logs.items():
        (project.folder / "logs" / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / "logs" / name).write_text(text)
    found = record(project)
    assert found["job_packages"] == {"torch 1.0, numpy 1.9": 1, "torch 2.0, numpy 1.9": 2}
    assert {"one", "two"} < set(found["machines"])  # and the machine that writes the record
    assert (
        "torch 1.0, numpy 1.9 (jobs: 1); torch 2.0, numpy 1.9 (jobs: 2)"
        in (project.folder / "out/provenance.md").read_text()
    )
