"""Published results are what their record says, and the page that reads them has their numbers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

import lpn
from lpn.files import checksum
from lpn.formats import read_safetensors

RESULTS = ROOT / "docs/results"
RUNS = sorted(path.parent.parent for path in RESULTS.glob("*/provenance/provenance.json"))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_published_files_are_those_of_the_record(run: Path) -> None:
    record = json.loads((run / "provenance/provenance.json").read_text(encoding="utf-8"))
    files = [path for path in run.rglob("*") if path.is_file() and path.parent.name != "provenance"]
    results = [path for path in files if path.suffix != ".safetensors"]
    assert len(results) > 5
    for path in results:
        recorded = record["results"][f"results/{record['run']}/{path.relative_to(run).as_posix()}"]
        assert recorded["job"], path
        assert checksum(path) == recorded["sha256"], path
    assert record["git"]["commit"] and not record["git"]["dirty"]


def test_the_network_of_digits_is_what_its_record_says() -> None:
    run = RESULTS / "mnist"
    _, known = read_safetensors(run / "mnist.safetensors")
    record = json.loads((run / "provenance/provenance.json").read_text(encoding="utf-8"))
    assert known["commit"] == record["git"]["commit"]
    assert json.loads(known["certificate"]) == json.loads((run / "certificates/mnist.json").read_text(encoding="utf-8"))
    assert int(known["iteration"]) == pd.read_csv(run / "models/mnist/training.csv").step.iloc[-1] == 40000


def test_the_network_of_digits_is_a_proximal_operator() -> None:
    model = lpn.load_model(RESULTS / "mnist/mnist.safetensors", device="cpu")
    points = np.random.default_rng(0).random((3, 1, 28, 28))
    assert lpn.certify(model, points).failures == ()
