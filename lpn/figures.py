"""Figures: functions of data frames and arrays that return a Matplotlib figure, in the style that is set.

Arguments that several have: `title`, of the experiment; `titles`, of the methods by name (others are called by their names);
`symbol`, of the level of a perturbation; `label`, the last line of the caption.
"""

from __future__ import annotations

import logging
import re
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lpn.errors import UserError
from lpn.files import atomic_path
from lpn.tables import FORMULA, groups, shifted_prior

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def read_array(path: str | Path, name: str) -> np.ndarray:
    """Return an array of an .npz file. Raises UserError if the file is missing or damaged, or lacks the array."""
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return file[name]
    except Exception as error:  # damaged archives raise errors of many types
        raise UserError(f"the array {name} of {path} can't be read ({error}). If the file was made from others, delete it "
                        "and make it again.") from error  # fmt: skip


def check_formulas(text: str) -> None:
    """Raise ValueError for a formula, between $ signs, that Matplotlib can't draw. A line with one $ sign has no formula."""
    from matplotlib import cbook, mathtext

    for line in filter(cbook.is_math_text, text.splitlines()):
        try:
            mathtext.MathTextParser("path").parse(line)
        except ValueError as error:
            raise ValueError(rf"Matplotlib can't draw the formula of '{line}'; mend it, or write \$ for a $ sign") from error


def _use_fonts_for_all_signs(figure: Figure) -> None:
    """Draw signs that the style's font lacks by any installed font that has them; name those that become boxes."""
    from matplotlib import cbook, rcParams
    from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    lines = [line for text in texts for line in text.get_text().splitlines()]
    missing = set("".join(lines)) - set(map(chr, get_font(findfont(FontProperties())).get_charmap()))
    boxes = missing & set("".join(filter(cbook.is_math_text, lines)))  # formulas have fonts of their own
    families = list(rcParams["font.family"])
    for font in fontManager.ttflist if missing else ():
        found = missing & set(map(chr, get_font(font.fname).get_charmap()))
        if found and not font.name.startswith("Last Resort"):
            families.append(font.name)
            missing -= found
    for text in texts if len(families) > 1 else ():
        text.set(fontfamily=families)
    if boxes := boxes | missing:
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # this note is enough
        logging.getLogger("matplotlib.mathtext").setLevel(logging.ERROR)
        print(
            f"note: the figure has boxes in place of {' '.join(sorted(boxes))}, because no installed font has them, or a "
            "formula is in the same line. A font such as Noto Sans CJK may help."
        )


def save(figure: Figure, path: str | Path) -> Figure:
    """Write a figure as PDF at `path`, and as PNG beside it, and return it."""
    _use_fonts_for_all_signs(figure)
    for suffix in (".pdf", ".png"):
        with atomic_path(Path(path).with_suffix(suffix), suffix=suffix) as temporary:
            figure.savefig(temporary, dpi=200, bbox_inches="tight")
    return figure


def _subplots(rows: int, columns: int, size: tuple[float, float], caption: str, **options: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure of `size` (inches) with a small grey caption above it, and its axes (rows, columns)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(caption, fontsize="x-small", color="0.4")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _draw_image(axis: Axes, image: np.ndarray) -> None:
    """Draw an image (1, H, W) or (3, H, W); values outside [0, 1] are clipped."""
    picture = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    axis.imshow(picture.clip(0, 1), cmap="gray", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])


def curves(columns: Sequence[tuple[str, pd.DataFrame]], shown: float, label: str) -> Figure:
    """Draw prox, potential and regulariser of scalar models on |x| <= shown, one model in each column.

    `columns` are the title and the curve of each model: x, prox, potential, regulariser, and prox_true, potential_true and
    regulariser_true if the truth is known.
    """
    import seaborn as sns

    rows = {
        "prox": (r"$f_\theta(x)$", "soft thresholding"),
        "potential": (r"$\psi_\theta(x)$", "true potential"),
        "regulariser": (r"$R_\theta(x)$", "true prior"),
    }
    figure, axes = _subplots(3, len(columns), (2.3 * len(columns), 5.6), label, sharex=True, sharey="row")
    for column, (title, curve) in enumerate(columns):
        inside = curve.loc[curve["x"].abs() <= shown]
        axes[0, column].set_title(title)
        for axis, (name, (symbol, truth)) in zip(axes[:, column], rows.items(), strict=True):
            if f"{name}_true" in inside:
                axis.plot(inside["x"], inside[f"{name}_true"], color="0.6", linewidth=3, label=truth)
            axis.plot(inside["x"], inside[name], color="C3", label=symbol)
            if column == 0:
                axis.set_ylabel(symbol)
                axis.legend(frameon=False, fontsize="small")
        axes[-1, column].set_xlabel("$x$")
    sns.despine(figure)
    return figure


def prior_grid(prior: pd.DataFrame, images: np.ndarray, rows: Sequence[int], symbol: str, label: str) -> Figure:
    """Draw images at every level of a perturbation, with the learned regulariser over each, shifted to minimum 0.

    Args:
        prior: of one model and perturbation, with the columns image, level and regulariser, which may be unknown (NaN).
        images: (levels, n, C, H, W) in the order of the levels, and of the images of the prior; C is 1 or 3.
        rows: numbers of the images to draw.
    """
    values = shifted_prior(prior)
    levels = list(values.columns)
    figure, axes = _subplots(len(rows), len(levels), (1.3 * len(levels), 1.65 * len(rows)), label)
    for line, row in zip(axes, rows, strict=True):
        for axis, level, stack in zip(line, levels, images, strict=True):
            _draw_image(axis, stack[values.index.get_loc(row)])
            value = values.loc[row, level]
            axis.set_title("" if np.isnan(value) else rf"$R_\theta = {value:.2f}$", fontsize="small")
    for axis, level in zip(axes[-1], levels, strict=True):
        axis.set_xlabel(f"{symbol} = {level:g}")
    return figure


def prior_violin(
    prior: pd.DataFrame, symbol: str, label: str, published: Mapping[str, Sequence[float]] | None = None
) -> Figure:
    """Draw the distribution of the learned regulariser over images at every level of a perturbation, shifted to minimum 0.

    Args:
        prior: of one model and perturbation, with the columns perturbation, image, level and regulariser.
        published: lower whisker and quartile, median, upper quartile and whisker of some of the levels, by level. Median and
            quartiles are drawn beside ours.
    """
    import seaborn as sns

    values = shifted_prior(prior).rename(columns="{:g}".format)
    figure, axes = _subplots(1, 1, (3.6, 2.8), label)
    axis = axes[0, 0]
    sns.violinplot(values, ax=axis, color="C0", cut=0, inner="quartile")
    axis.plot(range(len(values.columns)), values.mean(), color="C3", marker="o", label="mean")
    levels = {f"{float(level):g}": summary for level, summary in (published or {}).items()}
    found = {place: levels[level] for place, level in enumerate(values.columns) if level in levels}
    if found:
        medians = np.array([summary[2] for summary in found.values()])
        quartiles = np.array([(summary[1], summary[3]) for summary in found.values()]).T
        places, lengths = np.array([*found]) + 0.45, abs(quartiles - medians)
        axis.errorbar(places, medians, lengths, fmt="k_", capsize=2, linewidth=1, label="published median, quartiles")
    axis.set(xlabel=f"{prior['perturbation'].iloc[0]} level {symbol}", ylabel=r"$R_\theta(x)$")
    axis.legend(frameon=False)
    sns.despine(figure)
    return figure


def _wrapped(title: str) -> str:
    """Return a title in lines of 20 signs; formulas stay whole, and count as one."""
    formulas = iter(re.findall(FORMULA, title))
    return re.sub("\0", lambda _: next(formulas), textwrap.fill(re.sub(FORMULA, "\0", title), 20))


def comparison(
    results: Sequence[tuple[pd.DataFrame, np.ndarray, np.ndarray]],
    titles: Mapping[str, str],
    shown: Sequence[int],
    title: str,
    label: str,
) -> Figure:
    """Draw reconstructions beside each other and the truth: a row for each image, a column for each method.

    Args:
        results: of a method and a part of the images, in the order of the columns: a table with the columns method, image,
            psnr and ssim, and the images of its rows, (n, C, H, W), as reconstructed and in truth; C is 1 or 3.
        shown: numbers of the images to draw.

    Raises ValueError if the results of a method lack an image.
    """
    pictures: dict[str, dict[int, tuple[np.ndarray, str]]] = {}
    truth: dict[int, np.ndarray] = {}
    for scores, images, true_images in results:
        for row, image, true_image in zip(scores.to_dict("records"), images, true_images, strict=True):
            quality = f"{row['psnr']:.2f} / {row['ssim']:.3f}"
            pictures.setdefault(row["method"], {})[row["image"]] = image, quality
            truth[row["image"]] = true_image
    for method, of_method in pictures.items():
        if missing := [str(number) for number in shown if number not in of_method]:
            raise ValueError(f"the results of {method} lack image {', '.join(missing)}")
    columns = [titles.get(method, method) for method in pictures] + ["Truth"]
    caption = f"{title}; over each image PSNR (dB) / SSIM\n{label}"
    figure, axes = _subplots(len(shown), len(columns), (1.5 * len(columns), 1.85 * len(shown)), caption)
    for line, number in zip(axes, shown, strict=True):
        drawn = [*(of_method[number] for of_method in pictures.values()), (truth[number], "")]
        for axis, (picture, quality) in zip(line, drawn, strict=True):
            _draw_image(axis, picture)
            axis.set_title(quality, fontsize="x-small")
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(f"{_wrapped(column)}\n{axis.get_title()}".rstrip(), fontsize="x-small")
    return figure


def mean_trace(iterations: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over images at every iteration of one method, of each column of numbers that has values.

    Images that stopped earlier keep their last values.
    """
    values = iterations.select_dtypes("number").dropna(axis="columns", how="all")
    images = values.pivot(index="iteration", columns="image")
    return images.ffill().T.groupby(level=0).agg("mean").T


def convergence(iterations: pd.DataFrame, titles: Mapping[str, str], title: str, label: str) -> Figure:
    """Draw PSNR, residuals, data term and, of learned proximal networks, objective at every iteration, mean over images.

    `iterations` has the columns method, image, iteration and psnr; primal, dual, data_term and objective, if there.
    """
    traces = {titles.get(method, method): mean_trace(rows) for method, rows in groups(iterations, "method").items()}
    panels = {
        "psnr": "PSNR (dB)",
        "primal": "primal residual",
        "dual": "dual residual",
        "data_term": r"$s\|Ax-y\|^2$, each with its $s$",
        "objective": "exact objective (LPN),\nless each curve's least",
    }
    panels = {column: name for column, name in panels.items() if any(column in trace for trace in traces.values())}
    count = iterations["image"].nunique()
    caption = f"{title}, mean over {count} image{'s' * (count > 1)}\n{label}"
    figure, axes = _subplots(1, len(panels), (2.6 * len(panels), 2.8), caption)
    for axis, (column, name) in zip(axes[0], panels.items(), strict=True):
        for number, (method, trace) in enumerate(traces.items()):
            if column not in trace:
                continue
            values = trace[column]
            if column == "objective":
                values = values - values.min()
            if column != "psnr":
                values = values[values > 0]
            axis.plot(values, f"C{number}", label=method, linewidth=1)
        axis.set_title(name, fontsize="small")
        axis.set(xlabel="iteration", yscale="linear" if column == "psnr" else "log")
    axes[0, 0].legend(fontsize="xx-small")
    return figure


def tuning(grids: Sequence[tuple[str, pd.DataFrame]], title: str, label: str) -> Figure:
    """Draw the mean PSNR over validation images against twice the scale of the data term; a circle marks the best.

    `grids` are the title and the grid search of each method, a table with the columns scale and psnr; if it has further
    parameters, a point is the best over these.
    """
    figure, axes = _subplots(1, 1, (5, 3.4), f"{title}\n{label}")
    axis = axes[0, 0]
    for number, (method, grid) in enumerate(grids):
        best = grid.groupby("scale")["psnr"].agg("max")
        weights, values = 2 * best.index.to_numpy(), best.to_numpy()
        highest = np.nanargmax(values)
        axis.plot(weights, values, f".-C{number}", label=method, linewidth=1)
        axis.plot(weights[highest], values[highest], f"oC{number}", fillstyle="none")
    axis.set(xscale="log", xlabel=r"$\alpha_{data}$, twice the scale $s$", ylabel="PSNR (dB), validation images")
    ticks = sorted({2 * scale for _, grid in grids for scale in grid["scale"]})
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize="x-small")
    axis.minorticks_off()
    axis.legend(fontsize="x-small")
    return figure
