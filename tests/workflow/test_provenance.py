"""The record of a run names the code that made it. (That of a whole run is tested with the run.)"""

import json
import subprocess
import sys

from .conftest import Project


def test_commit_and_changes_are_recorded(project: Project) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *arguments]
        return subprocess.run(command, cwd=project.folder, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "all")
    command = [
        sys.executable,
        "scripts/provenance.py",
        "--config",
        "config/config.yaml",
        "--logs",
        "logs",
        "--output",
        "out",
    ]
    for dirty in (False, True):
        if dirty:
            with (project.folder / "lpn/seeds.py").open("a") as file:
                file.write("# a change\n")
            (project.folder / "lpn/mine.py").write_text("# a new file\n")
            (project.folder / "notes.txt").write_bytes("un été\n".encode("latin-1"))
        else:
            (project.folder / ".gitignore").write_text("__pycache__\nout\n.gitignore\n")
        subprocess.run(command, cwd=project.folder, check=True)
        record = json.loads((project.folder / "out/provenance.json").read_text())
        assert record["git"] == {"commit": git("rev-parse", "HEAD"), "dirty": dirty}
        patch = (project.folder / "out/changes.patch").read_text(errors="replace")
        assert ("+# a change" in patch) == ("+# a new file" in patch) == dirty
    git("stash", "--include-untracked")
    git("apply", "out/changes.patch")
    assert (project.folder / "lpn/mine.py").read_text() == "# a new file\n"
    assert (project.folder / "notes.txt").read_text("latin-1") == "un été\n"
    assert (project.folder / "lpn/seeds.py").read_text().endswith("# a change\n")
