"""The page of a run, in a real browser: of a made-up run that is finished, unfinished, mixed or renamed."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from artifacts import Artifacts
from layout import Layout
from page import LPN, OPERATORS, page
from PIL import Image
from plan import Plan

from .browser import needs_browser, opened
from .conftest import ROOT, Checker

TITLE = r"Deblurring, $\sigma_{blur} = 1$ & <more>"
PROVENANCE = ("provenance.md", "provenance.json", "config.yaml", "jobs.csv")


def make_page(run: Path, spec: Path) -> str:
    """Make the page of a run by hand, and return what the script said."""
    command = [sys.executable, str(ROOT / "scripts/make_page.py"), "--spec", str(spec), "--logs", str(run / "logs")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    arguments = [*command, "--output", str(run / "index.html")]
    return subprocess.run(arguments, check=True, capture_output=True, text=True, env=environment).stdout


def rows_of(table: str) -> list[dict[str, str]]:
    """Return made-up rows of a table."""
    if table in ("laplacian", "mnist", "certificates"):
        return [{"model": model, "value": "0.123456"} for model in ("laplacian_l2", "mnist")]
    if table == "published":
        return [{"quantity": f"R({x})", "published": "about 3", "ours": f"{x}", "source": "figure 1"} for x in range(5)]
    common = {"experiment": TITLE, "psnr_mean": "30.12345"}
    rows = [common | {"method": method, "source": "this run"} for method in ("TV", "LPN", "DnCNN")]
    return [*rows, common | {"method": "LPN", "source": "published, table 2"}]


@pytest.fixture
def made(checker: Checker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A made-up finished run: its folder, and the content of its page."""
    complete = checker.tiny({"experiments": {"deblur": {"title": TITLE}}})
    plan = Plan(complete["config"], complete["facts"], Layout("tiny", Path("data")))
    artifacts = Artifacts(plan)
    monkeypatch.chdir(tmp_path)
    (spec := tmp_path / "page.json").write_text(json.dumps(page(artifacts, [Path("my run.yaml")])))
    run = tmp_path / plan.layout.out
    for folder in ("figures", "tables", "certificates", "provenance", "logs"):
        (run / folder).mkdir(parents=True)
    for path in artifacts.all_figures:
        Image.new("RGB", (1600, 400)).save(path) if path.suffix == ".png" else path.write_text("made up")
    for path in artifacts.all_tables:
        rows = rows_of(path.stem)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        for suffix in (".md", ".tex", ".html"):
            path.with_suffix(suffix).write_text("made up")
    for model in plan.certifiable:
        failures = ["not convex"] if model == "mnist" else []
        plan.layout.certificate(model).write_text(json.dumps({"model": model, "failures": failures}))
    chosen = {"parameters": {"prox.weight": 0.1}, "grid": [], "at_edge": ["prox.weight"]}
    for method in ("tv",):
        plan.layout.chosen("deblur", method).parent.mkdir(parents=True)
        plan.layout.chosen("deblur", method).write_text(json.dumps(chosen))
    for name in PROVENANCE:
        (run / "provenance" / name).write_text("made up")
    make_page(run, spec)
    return run, spec


def text(run: Path) -> str:
    """Return the page without its pictures."""
    return re.sub(r"base64,[^\"]*", "", (run / "index.html").read_text())


@needs_browser
@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize(("width", "colours"), [(400, "dark"), (1400, "light")])
def test_all_is_there(made: tuple[Path, Path], width: int, colours: str, javascript: bool) -> None:
    with opened(made[0] / "index.html", width, javascript=javascript, colours=colours) as shown:
        images = shown.locator("img")
        assert images.count() == len(list((made[0] / "figures").glob("*.png"))) > 4
        assert all(image.evaluate("image => image.complete && image.naturalWidth == 1600") for image in images.all())
        for path in (made[0] / "tables").glob("*.csv"):
            rows = shown.locator(f"[data-table='{path.stem}'] tbody tr")
            assert rows.count() == len(rows_of(path.stem))
        assert shown.locator("tr.published").count() == 1
        assert shown.evaluate("document.documentElement.scrollWidth") == width
        assert shown.locator("math").first.bounding_box()["height"] > 5


@needs_browser
def test_links_lead_to_files_and_places_of_the_page(made: tuple[Path, Path]) -> None:
    moved = made[0].rename(made[0].with_name("renamed"))
    with opened(moved / "index.html") as shown:
        links = [link.get_attribute("href") for link in shown.locator("a").all()]
        assert len(links) > 30
        for link in links:
            found = shown.locator(link).count() == 1 if link.startswith("#") else (moved / unquote(link)).is_file()
            assert found, link
        assert {f"provenance/{name}" for name in PROVENANCE} <= {*links}


def test_titles_marks_and_choices(made: tuple[Path, Path]) -> None:
    page = text(made[0])
    assert "<more>" not in page
    assert "&lt;more&gt;" in page
    assert "$" not in page
    assert "prox.weight of 0.05, 0.1" in page
    assert "prox.weight 0.1, by PSNR on 1 validation image; at an end of the grid: prox.weight" in page
    assert "✗ not convex" in page
    lpn, dncnn, published = (
        re.search(pattern, page, re.DOTALL)[0]
        for pattern in (
            r'<td class="text">LPN.*?</td>',
            r'<td class="text">DnCNN.*?</td>',
            r'<tr class="published">.*?</tr>',
        )
    )
    assert "✓ certified" in lpn
    assert "certified" not in dncnn + published
    assert 'id="missing"' not in page


def test_an_unfinished_run_says_what_is_missing(made: tuple[Path, Path]) -> None:
    run, spec = made
    (run / "figures/deblur_comparison.png").unlink()
    (run / "tables/mnist.csv").unlink()
    (run / "certificates/faces.json").unlink()
    (run / "experiments/deblur/tuning/tv.json").unlink()
    assert "2 figures and tables are missing" in make_page(run, spec)
    page = text(run)
    missing = page[page.index('id="missing"') : page.index("</nav>")]
    assert {"figures/deblur_comparison.png", "tables/mnist.csv"} == {*re.findall(r"<li><code>(.*?)</code>", missing)}
    assert "snakemake --cores 2 --configfile &#39;my run.yaml&#39;" in missing
    assert "provenance/provenance.json" not in page
    assert "no certificate" in page
    assert "not yet" in page


@pytest.mark.parametrize(("scale", "shown"), [("tiny test run", False), ("another scale", True)])
def test_a_table_says_once_what_all_its_rows_share(made: tuple[Path, Path], scale: str, shown: bool) -> None:
    run, spec = made
    (run / "tables/published.csv").write_text(f"quantity,published,ours,scale\nR(1),3,2.5,{scale}\nR(2),4,,{scale}\n")
    make_page(run, spec)
    table = re.search(r'<div class="table" data-table="published">.*?</div>.*?</div>', text(run), re.DOTALL)[0]
    assert "R(1)" in table
    assert "R(2)" not in table
    assert "The CSV file also has published values without ours: 1." in table
    assert (scale in table) == shown


def test_a_mixed_run_is_marked(made: tuple[Path, Path]) -> None:
    run, spec = made
    assert 'id="mixed"' not in text(run)
    for machine in ("one", "two"):
        job = {"machine": machine, "python": "3", "packages": {}, "files": {}}
        (run / f"logs/{machine}.log").write_text(f"record: {json.dumps(job)}\n")
    make_page(run, spec)
    assert "machine: one (1 job); two (1 job)" in text(run)


def test_papers_in_their_order(checker: Checker) -> None:
    complete = checker.tiny()
    complete["config"]["experiments"]["deblur"]["table"] = "deconvolution"
    plan = Plan(complete["config"], complete["facts"], Layout("tiny", Path("data")))
    content = page(Artifacts(plan), [])
    assert [paper["title"] for paper in content["papers"]] == [LPN, OPERATORS]
    assert [part["tables"] for part in content["papers"][0]["parts"]] == [
        ["laplacian"],
        ["mnist"],
        ["certificates"],
        ["published"],
    ]
    assert content["command"] == "snakemake --cores 2"


def test_methods_of_one_title_have_the_networks_of_their_tables(checker: Checker) -> None:
    other = {"like": "deblur", "table": "other", "methods": [{"lpn": {"prox": {"model": "dncnn"}}}]}
    complete = checker.tiny({"experiments": {"other": other}, "make": ["deblur", "other"]})
    plan = Plan(complete["config"], complete["facts"], Layout("tiny", Path("data")))
    parts = {part["tables"][0]: part for paper in page(Artifacts(plan), [])["papers"] for part in paper["parts"]}
    (title,) = {title for table in ("deblurring", "other") for title in parts[table]["learned"]}
    networks = [parts[table]["learned"][title]["LPN"] for table in ("deblurring", "other")]
    assert networks[0] != networks[1] == "dncnn"


def test_models_have_their_data_and_noise(checker: Checker) -> None:
    (checker.folder / "model.pt").touch()
    complete = checker.tiny({"models": {"mnist": {"source": "model.pt"}}})
    plan = Plan(complete["config"], complete["facts"], Layout("tiny", Path("data")))
    plan.models["faces"] |= {"sigma": None, "pairs": {"noise": 3.2}}  # of an adversarial regulariser
    rows = {row["model"]: row for row in page(Artifacts(plan), [])["models"]}
    assert (rows["mnist"]["data"], rows["mnist"]["noise"]) == ("mnist", "0.1")
    assert rows["mnist"]["schedule"].startswith("trained before: ")
    assert rows["faces"]["noise"] == "3.2"


@pytest.mark.parametrize(
    ("name", "content"), [("figures/deblur_comparison.png", b"no picture"), ("tables/mnist.csv", b"\xff")]
)
def test_damaged_files_are_named(made: tuple[Path, Path], name: str, content: bytes) -> None:
    run, spec = made
    (run / name).write_bytes(content)
    with pytest.raises(subprocess.CalledProcessError) as error:
        make_page(run, spec)
    assert name in error.value.stderr
    assert "Traceback" not in error.value.stderr
