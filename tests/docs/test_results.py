"""Published results are what their record says, and the page that reads them has their numbers."""

import json
import re
from collections.abc import Iterator
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
    assert record["git"]["commit"]
    assert not record["git"]["dirty"]


def test_the_network_of_digits_is_what_its_record_says() -> None:
    run = RESULTS / "mnist"
    _, known = read_safetensors(run / "mnist.safetensors")
    record = json.loads((run / "provenance/provenance.json").read_text(encoding="utf-8"))
    assert known["commit"] == record["git"]["commit"]
    assert json.loads(known["certificate"]) == json.loads((run / "certificates/mnist.json").read_text(encoding="utf-8"))
    assert known["model_sha256"] == record["results"]["results/mnist/models/mnist/model.pt"]["sha256"]
    assert json.loads(known["made_with"]) == json.loads((run / "models/mnist/made_with.json").read_text(encoding="utf-8"))
    assert int(known["iteration"]) == pd.read_csv(run / "models/mnist/training.csv").step.iloc[-1] == 40000


def test_the_network_of_digits_is_a_proximal_operator() -> None:
    model = lpn.load_model(RESULTS / "mnist/mnist.safetensors", device="cpu")
    points = np.random.default_rng(0).random((3, 1, 28, 28))
    assert lpn.certify(model, points).failures == ()


def tables(page: str) -> Iterator[pd.DataFrame]:
    """Yield the tables of a page, as text."""
    for block in (ROOT / page).read_text(encoding="utf-8").split("\n\n"):
        if block.startswith("| "):
            cells = (re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines())
            header, _, *rows = ([cell.strip().replace("\\|", "|") for cell in row] for row in cells)
            yield pd.DataFrame(rows, columns=header)


def shown(value: float, text: str) -> bool:
    """Whether a text shows a value, rounded to the text's digits."""
    return f"{value:.{len(text.partition('.')[2])}f}" == text.lstrip("+")


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_values_beside_published_ones_are_those_of_the_runs(page: str) -> None:
    files = RESULTS.glob("*/tables/published.csv")
    made = pd.concat(map(pd.read_csv, files)).dropna(subset="ours").groupby("quantity")
    assert (made.ours.max() - made.ours.min()).max() < 1e-3  # runs agree
    ours, published = made.ours.first(), made.published.agg(set)
    rows = [
        (name if name in ours else f"{table.columns[0]}, {name}", row)
        for table in tables(page)
        if "ours" in table
        for name, row in zip(table.iloc[:, 0], table.to_dict("records"), strict=True)
    ]
    assert len(rows) >= 5
    for name, row in rows:
        assert shown(ours[name], row["ours"]), name
        assert row["published"] in published[name] or any(shown(float(value), row["published"]) for value in published[name])
        if "difference" in row:
            assert shown(ours[name] - float(row["published"]), row["difference"]), name


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_image_qualities_are_those_of_the_demo(page: str) -> None:
    made = pd.read_csv(RESULTS / "demo/tables/digits.csv").set_index(["experiment", "method"]).psnr_mean
    (table,) = [table for table in tables(page) if "LPN" in table]
    assert len(table) == 3
    for row in table.to_dict("records"):
        experiment = row.pop(table.columns[0])
        for method, text in row.items():
            assert shown(made[experiment, method], text), (experiment, method)


def test_qualities_of_slices_are_those_of_the_run() -> None:
    made = pd.read_csv(RESULTS / "subset/tables/mayo.csv").set_index(["experiment", "method"]).sort_index()
    ours, published = made[made.source == "this run"], made[(made.source != "this run") & (made.images == 128)]
    assert set(ours.images) == {8}
    seen = set()
    for table in tables("docs/results.md"):
        if "PSNR, 8 slices" not in table:
            continue
        for row in table.to_dict("records"):
            key = (table.columns[0], row[table.columns[0]])
            made_row = ours.loc[key]
            assert shown(made_row.psnr_mean, row["PSNR, 8 slices"]), key
            assert shown(made_row.ssim_mean, row["SSIM"]), key
            assert row["certified"] == ("" if pd.isna(made_row.certified) else made_row.certified), key
            text = row["published PSNR, 128 slices"]
            assert shown(published.loc[key].psnr_mean, text) if text else key not in published.index, key
            seen.add(key)
    assert seen == set(ours.index)
