"""Results of a run that are copied to where they can be published."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from lpn.files import checksum

PUBLISH = ROOT / "scripts/publish.py"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder in which a run, of two tables and a record, is finished."""
    run = tmp_path / "results/small"
    (run / "tables").mkdir(parents=True)
    (run / "tables/a.csv").write_text("x\n1\n")
    (run / "tables/b.csv").write_text("x\n2\n")
    (run / "tables/new.csv").write_text("not in the record")
    sums = {f"results/small/tables/{name}.csv": checksum(run / f"tables/{name}.csv") for name in "ab"}
    record = {"run": "small", "results": {path: {"job": "table", "sha256": value} for path, value in sums.items()}}
    (run / "provenance").mkdir()
    (run / "provenance/provenance.json").write_text(json.dumps(record))
    for name in ("provenance.md", "jobs.csv", "config.yaml"):
        (run / "provenance" / name).write_text(name)
    return tmp_path


def publish(place: Path, *patterns: str) -> subprocess.CompletedProcess[str]:
    """Copy results of the run to the folder `out`."""
    command = [sys.executable, str(PUBLISH), "results/small", "--output", "out", "--files", *patterns]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=place, env=environment, check=False, capture_output=True, text=True)


def test_results_and_their_record(place: Path) -> None:
    assert publish(place, "tables/*").returncode == 0
    copied = sorted(str(path.relative_to(place / "out")) for path in (place / "out").rglob("*") if path.is_file())
    records = [f"provenance/{name}" for name in ("config.yaml", "jobs.csv", "provenance.json", "provenance.md")]
    assert copied == [*records, "tables/a.csv", "tables/b.csv"]
    assert (place / "out/tables/b.csv").read_bytes() == (place / "results/small/tables/b.csv").read_bytes()


def test_nothing_is_published_that_is_not_what_the_record_says(place: Path) -> None:
    (place / "results/small/tables/a.csv").write_text("x\n3\n")
    run = publish(place, "tables/*")
    assert run.returncode == 1
    assert "results/small/tables/a.csv holds other bytes than its job wrote. Run it again, then publish it." in run.stderr
    assert not (place / "out").exists()
    run = publish(place, "tables/b.csv", "tables/new.csv")
    assert "no result of results/small has the name tables/new.csv" in run.stderr
