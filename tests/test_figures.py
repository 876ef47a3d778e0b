"""Figures as functions of data frames and arrays."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lpn import figures
from lpn.errors import UserError


def test_images_whose_solver_stopped_keep_their_last_values() -> None:
    parts = [
        pd.DataFrame({"method": "tv", "image": part, "iteration": range(1, len(quality) + 1), "psnr": quality})
        for part, quality in enumerate(([20.0, 25.0], [30.0, 31.0, 32.0, 33.0]))
    ]
    trace = figures.mean_trace(pd.concat(parts))
    assert dict(trace.psnr) == {1: 25.0, 2: 28.0, 3: 28.5, 4: 29.0}


def test_convergence_draws_what_methods_have() -> None:
    rows = {"image": 0, "iteration": range(3), "psnr": [20.0, 21.0, 22.0], "primal": [np.nan, 0.1, 0.01]}
    lpn = pd.DataFrame(rows | {"method": "lpn", "objective": [np.nan, 7.0, 5.0]})
    tv = pd.DataFrame(rows | {"method": "tv"})
    figure = figures.convergence(pd.concat([tv, lpn]), {"lpn": "LPN"}, "Deblurring", "demo")
    psnr, primal, objective = figure.axes
    assert [line.get_label() for line in psnr.lines] == ["tv", "LPN"]
    assert len(primal.lines) == 2
    (line,) = objective.lines
    assert line.get_color() == psnr.lines[1].get_color()  # the same as in the other panels
    np.testing.assert_array_equal(line.get_ydata(), [2.0])  # minus the least; zero has no logarithm
    assert figure.get_suptitle() == "Deblurring, mean over 1 image\ndemo"


def test_comparison_finds_images_by_their_numbers() -> None:
    def part(method: str, numbers: list[int]) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        scores = pd.DataFrame({"method": method, "image": numbers, "psnr": 20.0, "ssim": 0.5})
        images = np.stack([np.full((3, 4, 4), number / 10) for number in numbers])
        return scores, images, images + 0.01

    results = [part("tv", [0, 1]), part("tv", [2]), part("lpn", [0, 1]), part("lpn", [2])]
    figure = figures.comparison(results, {"lpn": "LPN"}, [1, 2], "Deblurring", "demo")
    drawn = [axis.images[0].get_array() for axis in figure.axes]
    np.testing.assert_allclose(
        [picture.mean() for picture in drawn if picture is not None], [0.1, 0.1, 0.11, 0.2, 0.2, 0.21]
    )
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["tv\n20.00 / 0.500", "LPN\n20.00 / 0.500", "Truth", "20.00 / 0.500", "20.00 / 0.500", ""]
    with pytest.raises(ValueError, match="the results of tv lack image 3"):
        figures.comparison(results, {}, [3], "", "")


def prior() -> pd.DataFrame:
    table = pd.DataFrame({"level": [0.0, 0.0, 0.05, 0.05], "image": [0, 1, 0, 1], "regulariser": [1.0, 2.0, 5.0, 6.0]})
    return table.assign(perturbation="gaussian")


@pytest.mark.parametrize("channels", [1, 3])
def test_prior_grid(channels: int) -> None:
    images = np.random.default_rng(0).random((2, 2, channels, 5, 5))
    figure = figures.prior_grid(prior(), images, [1], "s", "demo")
    assert [axis.get_title() for axis in figure.axes] == [r"$R_\theta = 1.00$", r"$R_\theta = 5.00$"]
    assert [axis.get_xlabel() for axis in figure.axes] == ["s = 0", "s = 0.05"]
    picture = figure.axes[1].images[0].get_array()
    np.testing.assert_array_equal(picture, images[1, 1].transpose(1, 2, 0).squeeze())


def test_values_that_are_not_known_have_no_title() -> None:
    steps = prior().assign(image=[3, 5, 3, 5], regulariser=[np.nan, np.nan, 7.0, 6.0])
    images = np.random.default_rng(0).random((2, 2, 1, 5, 5))
    figure = figures.prior_grid(steps, images, [5, 3], "k", "demo")
    assert [axis.get_title() for axis in figure.axes] == ["", r"$R_\theta = 0.00$", "", r"$R_\theta = 1.00$"]
    picture = figure.axes[1].images[0].get_array()
    np.testing.assert_array_equal(picture, images[1, 1, 0])  # the second image has the number 5


def test_prior_violin() -> None:
    (axis,) = figures.prior_violin(prior(), "s", "demo").axes
    assert axis.get_xlabel() == "gaussian level s"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0", "0.05"]


def test_prior_violin_beside_the_published_one() -> None:
    published = {"0.05": [3, 4, 5, 7, 8], "0.2": [0, 1, 2, 3, 4]}  # ours has another second level
    (axis,) = figures.prior_violin(prior(), "s", "demo", published).axes
    (container,) = axis.containers
    medians, _, (bars,) = container.lines
    np.testing.assert_array_equal(medians.get_xydata(), [[1.45, 5]])
    np.testing.assert_array_equal(bars.get_segments(), [[[1.45, 4], [1.45, 7]]])


def test_curves_show_the_truth_if_it_is_known() -> None:
    x = np.linspace(-4, 4, 9)
    unknown = pd.DataFrame({"x": x, "prox": x, "potential": x, "regulariser": x})
    known = unknown.assign(prox_true=x, potential_true=x, regulariser_true=x)
    figure = figures.curves([("a", known), ("b", unknown)], 3.5, "demo")
    assert [len(axis.lines) for axis in figure.axes] == [2, 1] * 3
    assert np.abs(figure.axes[0].lines[0].get_xdata()).max() == 3


def test_tuning_marks_the_best() -> None:
    grid = pd.DataFrame({"scale": [0.5, 0.5, 1.0, 2.0], "tv": [0, 1, 0, 0], "psnr": [20.0, 22.0, 25.0, np.nan]})
    (axis,) = figures.tuning([("TV", grid)], "Deblurring", "demo").axes
    curve, circle = axis.lines
    np.testing.assert_array_equal(curve.get_ydata(), [22, 25, np.nan])
    np.testing.assert_array_equal(circle.get_xdata(), [2.0])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "2", "4"]


def test_the_same_figure_is_the_same_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    grid = pd.DataFrame({"scale": [0.5, 1.0], "psnr": [20.0, 22.0]})
    for name in "ab":
        figures.save(figures.tuning([("TV", grid)], "", ""), tmp_path / name / "figure.pdf")
    a, b = (sorted((tmp_path / name).iterdir()) for name in "ab")
    assert [path.name for path in a] == ["figure.pdf", "figure.png"]
    assert [path.read_bytes() for path in a] == [path.read_bytes() for path in b]


@pytest.mark.parametrize("title", [r"$\sigma$ of 5 %", "$5", r"from \$5 to \$6", "a {b} \\foo", "Größe 中", "$5\nand $6"])
def test_titles_that_can_be_drawn(title: str, tmp_path: Path) -> None:
    figures.check_formulas(title)
    grid = pd.DataFrame({"scale": [0.5, 1.0], "psnr": [20.0, 22.0]})
    figures.save(figures.tuning([(title, grid)], title, title), tmp_path / "figure.pdf")


@pytest.mark.parametrize("title", [r"$\\sigma$", "$a_$", "from $5 to $ 6 $_$", r"fine\n$\frac{1}$"])
def test_faulty_formulas_are_named(title: str) -> None:
    with pytest.raises(ValueError, match=r"Matplotlib can't draw the formula of '.*'; mend it, or write \\\$ for a \$ sign"):
        figures.check_formulas(title)


@pytest.mark.parametrize(
    ("title", "lines"),
    [
        (r"DnCNN, $\sigma = .01$", r"DnCNN, $\sigma = .01$"),
        (r"LPN of tuned strength, $\rho > \|A^TA\|$", "LPN of tuned\nstrength, $\\rho > \\|A^TA\\|$"),
        ("from $5 to a lot of dollars", "from $5 to a lot of\ndollars"),
    ],
)
def test_long_titles_break_outside_formulas(title: str, lines: str) -> None:
    scores = pd.DataFrame({"method": ["tv"], "image": 0, "psnr": 20.0, "ssim": 0.5})
    images = np.zeros((1, 1, 4, 4))
    figure = figures.comparison([(scores, images, images)], {"tv": title}, [0], "", "")
    assert figure.axes[0].get_title() == f"{lines}\n20.00 / 0.500"


def test_signs_that_the_font_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    """Another font has the script letter; none has the Chinese one, which is said once."""
    grid = pd.DataFrame({"scale": [0.5, 1.0], "psnr": [20.0, 22.0]})
    figure = figures.save(figures.tuning([("\N{MATHEMATICAL SCRIPT CAPITAL A}", grid)], "a", "b"), tmp_path / "a.pdf")
    assert len(figure.axes[0].xaxis.label.get_fontfamily()) > 1
    assert capsys.readouterr().out == ""
    figures.save(figures.tuning([("中文 $x$", grid)], "文", "b"), tmp_path / "b.pdf")
    (note,) = capsys.readouterr().out.splitlines()
    assert note.startswith("note: the figure has boxes in place of 中 文, because")
    assert not recwarn.list


def test_bad_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(UserError, match=r"the array truth of .*a\.npz can't be read"):
        figures.read_array(path, "truth")
    np.savez(path, x=np.zeros(3))
    with pytest.raises(UserError, match="truth"):
        figures.read_array(path, "truth")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="truth"):
        figures.read_array(path, "truth")
