"""The record that a job leaves in its log."""

import hashlib
import json
import platform
from pathlib import Path

import numpy as np
import pytest

from lpn import record as module
from lpn.compute import setup_compute
from lpn.files import write_text
from lpn.record import START, read_records, record


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpn.record.WRITTEN", set())
    monkeypatch.setattr("lpn.files.WRITTEN", module.WRITTEN)


def test_record_names_place_versions_and_bytes(tmp_path: Path) -> None:
    setup_compute(1, "cpu")
    write_text(tmp_path / "a.csv", "x\n")
    found = record()
    assert found["machine"].startswith(f"{platform.node()}, ")
    assert found["python"] == platform.python_version()
    assert found["packages"]["numpy"] == np.__version__
    assert "json" not in found["packages"]  # comes with Python
    assert (found["device"], found["threads"]) == ("cpu", 1)
    assert found["files"] == {str(tmp_path / "a.csv"): hashlib.sha256(b"x\n").hexdigest()}


def test_failed_writing_is_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.csv", "\ud800")
    assert record()["files"] == {}


def test_records_are_the_last_in_each_log(tmp_path: Path) -> None:
    def log(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    lines = [START + json.dumps({"machine": name}) + "\n" for name in "ab"]
    log("train/mnist.log", "step 1\n" * 100_000 + lines[0] + lines[1] + "exit of another process\n")
    log("train/half.log", "step 1\n")
    log("train/full_disk.log", lines[0][:-5])
    (tmp_path / "bytes.log").write_bytes(b"\xff\n" + lines[0].encode())
    assert read_records(tmp_path) == {"train/mnist": {"machine": "b"}, "bytes": {"machine": "a"}}
    assert read_records(tmp_path / "none") == {}
