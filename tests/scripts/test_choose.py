import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from .conftest import ADMM, outputs, spec_of

Refused = Callable[..., str]


def test_grid_search_finds_the_best_point(
    run: Callable[..., None], measurement: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [{"prox.weight": weight, "solver.rho": 0.1} for weight in (1e-4, 0.01, 3.0)]
    rows = [points[:2], points[2:]]
    files = [tmp_path / f"tuning/{i}.json" for i in range(2)]
    method = ADMM | {"solver": {"name": "admm", "rho": 9.0}}
    for row, file in zip(rows, files, strict=True):
        run("tune", "--spec", spec_of(method, points=row), "--measurement", measurement, "--output", file)
    tuned = tmp_path / "tuned.json"
    run("choose", *files, "--output", tuned)
    chosen = json.loads(tuned.read_text())
    scores = [score["psnr"] for file in files for score in json.loads(file.read_text())]
    best = int(np.argmax(scores))
    assert len(set(scores)) == 3
    assert chosen["parameters"] == points[best]
    assert chosen["grid"] == [point | {"psnr": score} for point, score in zip(points, scores, strict=True)]
    assert chosen["at_edge"] == (["prox.weight"] if best != 1 else [])  # rho has one value, and no edge
    assert ("end of the grid" in capsys.readouterr().out) == bool(chosen["at_edge"])

    arguments = ["--spec", spec_of(method), "--measurement", measurement, "--tuned", tuned]
    run("reconstruct", *arguments, *outputs(tmp_path))
    images = pd.read_csv(tmp_path / "images.csv")
    assert images.psnr.mean() == pytest.approx(scores[best], rel=1e-8)
    assert set(images.tuned) == {", ".join(f"{key} {value:g}" for key, value in chosen["parameters"].items())}


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "there are no scores to choose from"),
        (
            [{"parameters": {"scale": 1}, "psnr": 1.0}, {"parameters": {"solver.rho": 1}, "psnr": 2.0}],
            "not of one grid: some",
        ),
    ],
)
def test_scores_that_are_no_grid_are_refused(refused: Refused, tmp_path: Path, scores: list, message: str) -> None:
    (tmp_path / "0.json").write_text(json.dumps(scores))
    assert message in refused("choose", tmp_path / "0.json", "--output", tmp_path / "tuned.json")


def test_a_grid_that_diverges_everywhere_is_named(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "0.json").write_text(json.dumps([{"parameters": {"solver.rho": rho}, "psnr": None} for rho in (1, 2)]))
    assert "diverged at every point" in refused("choose", tmp_path / "0.json", "--output", tmp_path / "tuned.json")


@pytest.mark.parametrize("content", [None, "", "{}", '[{"psnr": 1}]'])
def test_files_that_hold_no_scores_are_refused(refused: Refused, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "0.json").write_text(content)
    message = refused("choose", tmp_path / "0.json", "--output", tmp_path / "tuned.json")
    assert "0.json can't be read as scores" in message
