"""Tables as functions of data frames."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lpn import tables
from lpn.errors import UserError
from lpn.published import Experiment, Published

BLUR = {"operator": {"name": "blur", "sigma": 1.0}, "noise": 0.02}


def curve(model: str, slope: float = 1.0) -> pd.DataFrame:
    """Return a curve on |x| <= 4 whose regulariser is slope |x| and whose prox is off by .1 slope."""
    x = np.linspace(-4, 4, 9)
    return pd.DataFrame(
        {
            "model": model,
            "x": x,
            "prox": x + 0.1 * slope,
            "prox_true": x,
            "potential": 0.0,
            "potential_true": 0.0,
            "regulariser": slope * np.abs(x),
            "regulariser_true": np.abs(x),
            "residual": np.abs(x) / 100,
        }
    )


def prior(model: str = "net", perturbation: str = "gaussian") -> pd.DataFrame:
    """Return R of two images at the levels .5 and 0, in this order."""
    rows = [(0.5, 0, 7.0, 0.3), (0.5, 1, 9.0, 0.1), (0.0, 0, 5.0, 0.2), (0.0, 1, 8.0, 0.0)]
    table = pd.DataFrame(rows, columns=["level", "image", "regulariser", "residual"])
    return table.assign(model=model, perturbation=perturbation)


def results() -> pd.DataFrame:
    """Return results of two methods, one of them on three images."""
    rows = [("lpn", 0, 30, 0.9, 30.5), ("lpn", 1, 28, 0.8, 28), ("lpn", 2, 32, 0.7, 32.1), ("tv", 0, 27, 0.6, 27)]
    table = pd.DataFrame(rows, columns=["method", "image", "psnr", "ssim", "best_psnr"])
    return table.assign(experiment="blur", iteration=20, tuned="rho 0.1", precision=["fp32", "bf16", "fp32", "fp32"])


def experiment(**changes: Any) -> Experiment:
    settings = {"title": "Deblurring, 2 %", "data": "celeba", "same_images": True, "methods": {"lpn": "LPN", "tv": "TV"}}
    return Experiment.model_validate(settings | BLUR | changes)


def test_certificates_begin_with_the_model() -> None:
    table = tables.certificates([{"asymmetry": 0.1, "failures": [], "model": "net", "passed": True}])
    assert list(table) == ["model", "asymmetry", "passed"]


def test_curves_are_compared_with_the_truth() -> None:
    table = tables.curves(pd.concat([curve("b"), curve("a", 2.0)]), shown=3.5, at=3.5)
    assert list(table.model) == ["b", "a"]  # as in the data
    np.testing.assert_allclose(table.prox_mean_error, [0.1, 0.2])
    np.testing.assert_allclose(table.prox_max_error, [0.1, 0.2])
    np.testing.assert_allclose(table["regulariser_at_3.5"], [3.5, 7])
    np.testing.assert_allclose(table.regulariser_mean_error, [0, 12 / 7])
    np.testing.assert_allclose(table.inversion_residual, 0.03)  # of what is shown


def test_curves_without_the_truth_have_no_errors() -> None:
    unknown = curve("a").drop(columns=list(tables.TRUTH))
    table = tables.curves(unknown, shown=3.5, at=9)
    (row,) = table.to_dict("records")
    for name in ("prox_mean_error", "prox_max_error", "regulariser_mean_error", "regulariser_at_9"):
        assert np.isnan(row[name]), name  # 9 is outside the grid
    mixed = tables.curves(pd.concat([unknown, curve("b")]), shown=3.5, at=3)
    assert mixed.prox_mean_error.isna().tolist() == [True, False]


def test_auc() -> None:
    clean = np.array([1.0, 2.0, 3.0])
    assert tables.auc(clean, clean) == 0.5
    assert tables.auc(clean, clean + 5) == 1
    assert tables.auc(clean, np.array([0.0, 2.0])) == pytest.approx(1.5 / 6)


def test_a_prior_is_shifted_over_all_its_levels() -> None:
    shifted = tables.shifted_prior(prior())
    assert list(shifted.columns) == [0.5, 0.0]
    assert shifted.to_numpy().tolist() == [[2, 0], [4, 3]]


def test_priors() -> None:
    table = tables.priors(pd.concat([prior(), prior("a"), prior("net", "blur")], ignore_index=True))
    assert list(zip(table.model, table.perturbation, table.level, strict=True)) == [
        ("net", "gaussian", 0.5),
        ("net", "gaussian", 0.0),
        ("net", "blur", 0.5),
        ("net", "blur", 0.0),
        ("a", "gaussian", 0.5),
        ("a", "gaussian", 0.0),
    ]
    assert table.regulariser_mean[:2].tolist() == [3, 1.5]
    assert table.regulariser_std[:2].tolist() == [1, 1.5]
    assert table.auc[:2].tolist() == [0.5, 0.25]
    assert table.inversion_residual[:2].tolist() == [0.3, 0.2]
    assert set(table.images) == {2}


def test_seeds_are_summarised_in_one_row() -> None:
    table = tables.curves(pd.concat([curve("net"), curve("other"), curve("net_seed2", slope=2.0)]), shown=3.5, at=3)
    assert tables.over_seeds(table, {}) is table
    rows = tables.over_seeds(table, {"net_seed2": "net"}).set_index("model")
    assert rows["seeds"].to_dict() == {"net": 2, "other": 1}
    assert rows.loc["net", "regulariser_at_3"] == pytest.approx(4.5)
    assert rows.loc["net", "regulariser_at_3_seed_std"] == pytest.approx(np.std([3, 6], ddof=1))
    assert np.isnan(rows.loc["other", "regulariser_at_3_seed_std"])
    assert rows.loc["net", "inversion_residual"] == table["inversion_residual"].max()


def test_seeds_of_priors_are_summarised_at_each_level() -> None:
    other = prior("net_seed2").assign(regulariser=lambda rows: 2 * rows["regulariser"])
    table = tables.priors(pd.concat([prior(), other]))
    rows = tables.over_seeds(table, {"net_seed2": "net"})
    assert rows[["model", "perturbation", "level"]].to_numpy().tolist() == [
        ["net", "gaussian", 0.5],
        ["net", "gaussian", 0.0],
    ]
    assert rows["images"].tolist() == [2, 2]
    means = table["regulariser_mean"].to_numpy().reshape(2, 2)
    assert rows["regulariser_mean"].tolist() == pytest.approx(means.mean(0))
    assert rows["regulariser_mean_seed_std"].tolist() == pytest.approx(means.std(0, ddof=1))


def test_published_values_stand_next_to_ours() -> None:
    def point(quantity: str, model: str, x: float) -> dict[str, Any]:
        return {"quantity": quantity, "model": model, "x": x, "published": 1.5, "describes": "what"}

    def digits(*images: int, published: float = 3.9) -> list[dict[str, Any]]:
        return [{"image": image, "digit": 3, "published": [published], "source": "a paper"} for image in images]

    def perturbation(digits: list[dict[str, Any]], summaries: dict[float, list[float]]) -> dict[str, Any]:
        return {"levels": [0.5], "digits": digits, "violins": {"source": "a page", "summaries": summaries}}

    points = [("regulariser", "b", 2.5), ("prox_deviation", "b", 1), ("prox_deviation", "b", 9)]
    violins = {0.0: [0.0, 0.1, 1.2, 2.0, 3.0], 7.0: [0.0] * 5}
    priors = {
        "gaussian": perturbation([*digits(1, 7), *digits(1, published=4.0), *digits(1, published=4.2)], violins),
        "blur": perturbation(digits(1), {}),
    }
    entries = Published.model_validate(
        {
            "curves": {
                "source": "a paper",
                "points": [point(*place) for place in [*points, ("prox_deviation", "unknown", 1.0)]],
            },
            "priors": {"data": "mnist", "model": "other", "images": 2, "perturbations": priors},
        }
    )
    unknown = curve("unknown").drop(columns=list(tables.TRUTH))
    table = tables.published(entries, [prior(), curve("b"), unknown])
    np.testing.assert_allclose(table.ours, [2.5, 0.1, *[np.nan] * 2, 4, np.nan, 4, 4, 1.5, *[np.nan] * 2])
    np.testing.assert_allclose(table.ours_minus_published[[0, 4, 7, 8]], [1, 0.1, -0.2, 0.3])
    assert table.published[[0, 4]].tolist() == ["about 1.5", "3.9"]
    # two trainings differ by .3 at most; none of the medians and of the other perturbation is known
    assert table.within_spread.tolist() == ["", "", "", "", "yes", "", "yes", "yes", "", "", ""]
    far = tables.published(entries, [prior().assign(regulariser=lambda rows: 2 * rows["regulariser"])])
    assert far.within_spread[4] == "no"


def test_reconstructions_beside_published_ones() -> None:
    quality = {"AR": 31.5, "LPN": [33.0, 0.9, 0.5, 0.01], "TV": [25.0, 0.9, 6.0, 0.01]}
    entry = {"source": "a paper", "data": "celeba", "images": 20, "psnr_ssim": {"blur": quality}}
    published = Published.model_validate({"problems": {"blur": BLUR}, "results": [entry, entry | {"data": "mayo"}]})
    table = tables.reconstructions(results(), {"blur": experiment()}, published, "test").reset_index(drop=True)
    assert list(table.method) == ["LPN", "TV", "AR", "LPN", "TV"]
    assert list(table.source) == ["this run"] * 2 + ["a paper"] * 3
    assert list(table.scale) == ["test"] * 2 + ["published"] * 3
    assert set(table.data) == {"celeba"}
    lpn = table.iloc[0]
    assert (lpn.experiment, lpn.images) == ("Deblurring, 2 %", 3)
    assert lpn.psnr_mean == pytest.approx(30)
    assert lpn.psnr_std == pytest.approx((8 / 3) ** 0.5)
    assert lpn.ssim_mean == pytest.approx(0.8)
    assert lpn.largest_psnr_drop == pytest.approx(0.5)
    assert lpn.tuned == "rho 0.1"
    assert table.precision[:2].tolist() == ["fp32; bf16", "fp32"]  # jobs on two machines
    assert table.psnr_mean[2:].tolist() == [31.5, 33.0, 25.0]
    assert table.psnr_std[3] == 0.5
    assert table.ssim_mean[2:].isna().tolist() == [True, False, False]
    difference = table.psnr_mean[1] - 25
    np.testing.assert_allclose(table.psnr_ours_minus_published, [np.nan] * 3 + [-3, difference])
    assert table.within_std.fillna("").tolist() == ["", "", "", "no", "yes"]

    other = tables.reconstructions(results(), {"blur": experiment(noise=0.2)}, published, "test")
    assert set(other.source) == {"this run"}  # another problem than the published one


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"lpn": "LPN", "tv": "TV", "bm3d": "BM3D"}, "no results of blur by bm3d"),
        ({"lpn": "LPN"}, "no title of blur by tv"),
    ],
)
def test_results_and_titles_must_fit(methods: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tables.reconstructions(results(), {"blur": experiment(methods=methods)}, Published(), "test")


def test_names_stay_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("model,x\n01,2\n")
    assert tables.read_tables([tmp_path / "a.csv", tmp_path / "a.csv"], ["model"]).model.tolist() == ["01", "01"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "can't be read"),
        ("", "can't be read"),
        ("model,x\n1,2\n1,2,3,4\n", "can't be read"),
        ("model\n1\n", "lacks the columns x, prox"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "curves.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=f"{re.escape(str(path))} {message}"):
        tables.read_table(path, tables.CURVES)


def test_names_that_look_like_missing_values(tmp_path: Path) -> None:
    """Only empty cells have no value."""
    table = pd.DataFrame({"method": ["null", "NA", "nan", "007"], "psnr": [1.0, 2.0, np.nan, 3.0]})
    table.to_csv(tmp_path / "a.csv", index=False)
    pd.testing.assert_frame_equal(tables.read_table(tmp_path / "a.csv", ("method", "psnr")), table)
