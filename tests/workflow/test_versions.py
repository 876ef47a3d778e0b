"""Which versions of packages the jobs of a run used."""

import importlib.metadata
import json
from pathlib import Path

import pytest
import versions


def log(folder: Path, name: str, **packages: str) -> None:
    """Write the log of a job."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"step 1\nrecord: {json.dumps({'packages': packages})}\n")


def test_installed_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", {"torch": "2.15.0+cpu", "numpy": "2.4"}.get)
    assert versions.installed() == "torch 2.15.0, numpy 2.4"


def test_jobs_are_counted_by_versions(tmp_path: Path) -> None:
    log(tmp_path, "train/a.log", torch="1", numpy="2")
    log(tmp_path, "train/b.log", torch="1+cpu", numpy="2", pandas="3")
    log(tmp_path, "measure/c.log", torch="2", numpy="2")
    log(tmp_path, "tables/d.log", numpy="3")  # uses no torch
    (tmp_path / "figure.log").write_bytes(b"\xff\n")
    assert versions.versions_of(tmp_path) == {"torch 1, numpy 2": 2, "torch 2, numpy 2": 1}
    assert versions.versions_of(tmp_path / "none") == {}


def test_other_versions_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed", lambda: "torch 2, numpy 2")
    assert versions.note_of_other_versions(tmp_path) == ""
    log(tmp_path, "a.log", torch="2", numpy="2")
    assert versions.note_of_other_versions(tmp_path) == ""
    log(tmp_path, "b.log", torch="1", numpy="2")
    note = versions.note_of_other_versions(tmp_path)
    assert "made with other versions: 1 by torch 1, numpy 2. Installed: torch 2, numpy 2. They are kept." in note
    assert note.endswith("add --forceall.")
