"""Tables from files, in three formats."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

BLUR = {"operator": {"name": "blur", "sigma": 1.0}, "noise": 0.02}


def spec(title: str, methods: dict[str, str], **more: object) -> dict[str, Any]:
    problem = {"title": title, "data": "celeba", "methods": methods} | BLUR
    return {"label": "test", "experiments": {"blur": problem}} | more


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    """Results of two methods, one of them in two parts."""
    values = {"lpn_0": [(30, 0.9, 30.5), (28, 0.8, 28)], "lpn_1": [(32, 0.7, 32.1)], "tv_0": [(27, 0.6, 27)]}
    files = []
    for name, rows in values.items():
        frame = pd.DataFrame(rows, columns=["psnr", "ssim", "best_psnr"]).assign(
            iteration=20, tuned="rho 0.1", precision="fp32"
        )
        files.append(tmp_path / f"{name}.csv")
        frame.assign(experiment="blur", method=name[:-2]).to_csv(files[-1], index_label="image")
    return files


@pytest.fixture
def published(tmp_path: Path) -> Path:
    result = {"source": "a paper", "data": "celeba", "images": 20, "psnr_ssim": {"blur": {"AR": 31.5}}}
    path = tmp_path / "published.yaml"
    value = {"quantity": "regulariser", "model": "net", "x": 1, "describes": "l1 loss", "published": 3}
    curves = {"source": "a paper", "points": [value]}
    with path.open("w") as file:
        YAML().dump({"curves": curves, "problems": {"blur": BLUR}, "results": [result]}, file)
    return path


def test_reconstructions_from_a_list(run: Callable[..., None], results: list[Path], published: Path, tmp_path: Path) -> None:
    files, output = tmp_path / "files.txt", tmp_path / "deblurring.csv"
    files.write_text("".join(f"{path}\n" for path in results))
    settings = spec("Deblurring, 2 %", {"lpn": "LPN", "tv": "TV"}, published=str(published))
    run("make_table", "reconstructions", "--spec", settings, "--list", files, "--output", output)
    table = pd.read_csv(output)
    assert list(table.method) == ["LPN", "TV", "AR"]
    assert list(table.scale) == ["test", "test", "published, other images"]
    assert table.psnr_mean.tolist() == [30, 27, 31.5]
    assert "| LPN" in output.with_suffix(".md").read_text()
    assert r"Deblurring, 2 \%" in output.with_suffix(".tex").read_text()


def test_latex_of_titles(run: Callable[..., None], results: list[Path], tmp_path: Path) -> None:
    settings = spec(r"$\sigma_{blur} = 1$ & 2 %", {"lpn": r"LPN, $\rho > \|A^TA\|$", "tv": "T_V {x} > 1"}, label="a|b")
    output = tmp_path / "deblurring.csv"
    run("make_table", "reconstructions", "--spec", settings, "--output", output, *results)
    latex = output.with_suffix(".tex").read_text()
    for text in (
        r"$\sigma_{blur} = 1$ \& 2 \% &",
        r"& LPN, $\rho > \|A^TA\|$ &",
        r"& T\_V \{x\} \textgreater{} 1 &",
        r"psnr\_mean",
        r"a\textbar{}b",
        r"\toprule",
    ):
        assert text in latex
    assert r"a\|b" in output.with_suffix(".md").read_text()


def test_signs_of_titles(run: Callable[..., None], results: list[Path], tmp_path: Path) -> None:
    """A dollar sign alone begins no formula, a new line ends no row, and < begins no HTML, except in formulas."""
    settings = spec("5 $ | a", {"lpn": "Größe\n\n中 <b>", "tv": r"$x < 1$ | \$ > 2"})
    output = tmp_path / "deblurring.csv"
    run("make_table", "reconstructions", "--spec", settings, "--output", output, *results)
    latex, markdown = (output.with_suffix(end).read_text(encoding="utf-8") for end in (".tex", ".md"))
    assert r"5 \$ \textbar{} a & celeba & Größe 中 \textless{}b\textgreater{} &" in latex
    assert r"& $x < 1$ \textbar{} \$ \textgreater{} 2 &" in latex
    assert re.search(r"\| 5 \$ \\\| a +\| celeba +\| Größe 中 \\<b> +\|", markdown)
    assert re.search(r"\| \$x < 1\$ \\\| \\\$ > 2 +\|", markdown)


def test_tables_of_models(run: Callable[..., None], published: Path, tmp_path: Path) -> None:
    curve = tmp_path / "curve.csv"
    x = pd.Series([-1.0, 0.0, 1.0])
    functions = {name: 2 * x.abs() for name in ("prox", "potential", "regulariser")}
    truth = {f"{name}_true": x.abs() for name in functions}
    pd.DataFrame({"model": "net", "x": x} | functions | truth | {"residual": 1e-9}).to_csv(curve, index=False)
    prior = tmp_path / "prior.csv"
    rows = {"level": [0.05, 0.05], "image": [0, 1], "regulariser": [1.0, 4.0], "residual": 1e-7}
    pd.DataFrame({"model": "net", "perturbation": "blur"} | rows).to_csv(prior, index=False)
    certificate = tmp_path / "certificate.json"
    certificate.write_text(json.dumps({"asymmetry": 1e-12, "failures": [], "model": "net", "passed": True}))

    def table(kind: str, settings: dict[str, Any], *files: Path) -> dict[str, Any]:
        output = tmp_path / f"{kind}_table.csv"
        run("make_table", kind, "--spec", settings | {"label": "test"}, "--output", output, *files)
        (row,) = pd.read_csv(output).to_dict("records")
        return row

    row = table("curves", {"shown": 1, "at": 0.5}, curve)
    assert (row["model"], row["prox_max_error"], row["regulariser_at_0.5"], row["scale"]) == ("net", 1, 1, "test")
    row = table("priors", {}, prior)
    assert (row["perturbation"], row["level"], row["regulariser_mean"], row["images"]) == ("blur", 0.05, 1.5, 2)
    row = table("published", {"published": str(published)}, prior, curve)
    assert (row["quantity"], row["published"], row["ours"]) == ("R(1), l1 loss", "about 3", 2)
    assert row["ours_minus_published"] == -1
    row = table("certificates", {}, certificate)
    assert list(row) == ["model", "asymmetry", "passed", "scale"]


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("reconstructions", {}, "lacks 'experiments'"),
        ("reconstructions", spec("", {"bm3d": "BM3D"}), "no results of blur by bm3d"),
        ("reconstructions", spec("", {}, published="missing.yaml"), r"missing\.yaml can't be read"),
        ("curves", {"shown": 1}, "lpn_0.csv lacks the columns model, x"),
        ("curves", {"show": 1}, "did you mean 'shown'"),
        ("certificates", {}, "lpn_0.csv can't be read as JSON"),
    ],
)
def test_bad_tables_are_refused(
    refused: Callable[..., str], results: list[Path], tmp_path: Path, kind: str, settings: dict[str, Any], message: str
) -> None:
    arguments = ["--output", tmp_path / "table.csv", "--spec", {"label": "test"} | settings]
    assert re.search(message, refused("make_table", kind, *arguments, *results))


def test_tables_need_files(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "certificate.json").write_text("{}")
    arguments = ["make_table", "certificates", "--spec", {"label": "test"}, "--output", tmp_path / "table.csv"]
    assert "needs files" in refused(*arguments)
    assert "files.txt can't be read" in refused(*arguments, "--list", tmp_path / "files.txt")
    assert "is no certificate of a named model" in refused(*arguments, tmp_path / "certificate.json")


def test_the_table_of_priors_has_a_row_for_all_seeds(run: Callable[..., None], tmp_path: Path) -> None:
    files = [tmp_path / f"{model}.csv" for model in ("net", "net_seed2")]
    for number, path in enumerate(files, 1):
        rows = {"level": [0.0, 0.0, 0.5, 0.5], "image": [0, 1, 0, 1], "regulariser": [0.0, 1.0, 2.0 * number, 3.0]}
        columns = {"model": path.stem, "perturbation": "gaussian", "residual": 1e-7}
        pd.DataFrame(rows | columns).to_csv(path, index=False)
    settings = {"label": "test", "repetitions": {"net_seed2": "net"}}
    run("make_table", "priors", *files, "--spec", settings, "--output", tmp_path / "priors.csv")
    table = pd.read_csv(tmp_path / "priors.csv")
    assert table[["model", "seeds"]].to_numpy().tolist() == [["net", 2]] * 2
    assert table["regulariser_mean"].tolist() == pytest.approx([0.5, 3.0])
    assert table["regulariser_mean_seed_std"].tolist() == pytest.approx([0.0, 0.5**0.5], abs=1e-6)


def test_no_table_overwrites_what_it_is_made_from(refused: Callable[..., str], results: list[Path]) -> None:
    before = results[0].read_bytes()
    arguments = ["--spec", spec("Deblurring", {"lpn": "LPN", "tv": "TV"}), "--output", results[0]]
    assert "--output and an argument name the same file" in refused("make_table", "reconstructions", *results, *arguments)
    assert results[0].read_bytes() == before
