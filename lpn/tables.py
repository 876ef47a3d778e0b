"""Tables of results: functions of tidy data frames, which have a row for each thing that was measured.

Columns such as model, experiment and method say what a row belongs to. Rows of a table are in the order of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lpn.errors import UserError
from lpn.published import Experiment, PriorPlace, Published, Value

if TYPE_CHECKING:
    import pandas as pd

FORMULA = r"(?<!\\)\$.*?(?<!\\)\$"  # pattern of a formula in a title; \$ is a dollar sign
NAMES = ("model", "perturbation", "experiment", "method")  # columns of text, even if it looks like a number
# the columns of the files that tables and figures read
CURVES = ("model", "x", "prox", "potential", "regulariser", "residual")
TRUTH = ("prox_true", "potential_true", "regulariser_true")  # further ones of curves, if the truth is known
PRIORS = ("model", "perturbation", "level", "image", "regulariser", "residual")
STEPS = PRIORS[:-1]  # of repeated proximal steps, whose levels are the steps
RESULTS = ("experiment", "method", "image", "psnr", "ssim", "iteration", "best_psnr", "tuned", "precision")
ITERATIONS = ("experiment", "method", "image", "iteration", "psnr")


def read_table(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return the table in a CSV file. Raises UserError if the file is missing or damaged, or lacks one of the columns."""
    import pandas as pd

    try:
        # as pandas writes them: only empty cells have no value, and a method may be called "null"
        table = pd.read_csv(path, dtype=dict.fromkeys(NAMES, str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read as a CSV table ({error}). If it was made from other files, delete it "
                        "and make it again.") from error  # fmt: skip
    missing = [name for name in columns if name not in table]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}. Give another file, or add them.")
    return table


def read_tables(paths: Iterable[str | Path], columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows of several CSV files in one table, in their order. Raises UserError as `read_table` does."""
    import pandas as pd

    return pd.concat([read_table(path, columns) for path in paths], ignore_index=True)


def groups(table: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """Return the rows of each value of a column, in the order in which the values appear."""
    return {str(name): rows for name, rows in table.groupby(column, sort=False)}


def certificates(entries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row for each model: the entries of its certificate."""
    import pandas as pd

    table = pd.DataFrame(list(entries)).drop(columns="failures")
    table.insert(0, "model", table.pop("model"))
    return table


def regulariser_at(curve: pd.DataFrame, x: float) -> float:
    """Return R(x) minus its minimum, interpolated between the points of a model's curve; NaN outside them."""
    return float(np.interp(x, curve["x"], curve["regulariser"], left=np.nan, right=np.nan))


def curves(table: pd.DataFrame, shown: float, at: float) -> pd.DataFrame:
    """Return a row for each model: how far f and R are from the truth on |x| <= shown, and R(at).

    The errors of a model whose truth is not known are NaN.
    """
    import pandas as pd

    def row(curve: pd.DataFrame) -> dict[str, float]:
        inside = curve.loc[curve["x"].abs() <= shown]
        deviation = (inside["prox"] - inside["prox_true"]).abs()
        return {
            "prox_mean_error": deviation.mean(),
            "prox_max_error": deviation.max(),
            f"regulariser_at_{at:g}": regulariser_at(curve, at),
            "regulariser_mean_error": (inside["regulariser"] - inside["regulariser_true"]).abs().mean(),
            "inversion_residual": inside["residual"].max(),
        }

    curves = groups(table.reindex(columns=[*CURVES, *TRUTH]), "model")
    return pd.DataFrame([{"model": model} | row(curve) for model, curve in curves.items()])


def auc(clean: np.ndarray, corrupted: np.ndarray) -> float:
    """Return the probability that R (n,) ranks a corrupted image above a clean one: the area under the ROC curve."""
    above, equal = corrupted[:, None] > clean, corrupted[:, None] == clean
    return float((above + equal / 2).mean())


def shifted_prior(table: pd.DataFrame) -> pd.DataFrame:
    """Return R of one model and perturbation, shifted to minimum 0: a row for each image, a column for each level.

    `table` has the columns image, level and regulariser. Levels keep their order.
    """
    levels = table["level"].unique()
    wide = table.pivot(index="image", columns="level", values="regulariser")[levels]
    return wide - wide.min().min()


def priors(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each model, perturbation and level: mean and standard deviation of R, as `shifted_prior` gives it.

    `auc` tells how well R distinguishes the level from the first one.
    """
    import pandas as pd

    rows = []
    for model, of_model in groups(table, "model").items():
        for perturbation, part in groups(of_model, "perturbation").items():
            shifted = shifted_prior(part)
            rows += [
                {
                    "model": model,
                    "perturbation": perturbation,
                    "level": level,
                    "regulariser_mean": values.mean(),
                    "regulariser_std": values.std(ddof=0),
                    "auc": auc(shifted.iloc[:, 0].to_numpy(), values.to_numpy()),
                    "images": len(values),
                    "inversion_residual": part.loc[part["level"] == level, "residual"].max(),
                }
                for level, values in shifted.items()
            ]
    return pd.DataFrame(rows)


def over_seeds(table: pd.DataFrame, repetitions: Mapping[str, str]) -> pd.DataFrame:
    """Return a table of `curves` or `priors` with one row for a model and its repetitions with other seeds.

    It has their means, the largest residual, and `<column>_seed_std`, their standard deviations (divisor: seeds - 1), which
    is NaN for a model of one seed; `seeds` is their number. Without repetitions the table stays as it is.

    Args:
        table: rows of models.
        repetitions: the models that repeat another one, with its name.
    """
    if not repetitions:
        return table
    keys = [name for name in ("model", "perturbation", "level") if name in table]
    rows = table.assign(model=table["model"].replace(dict(repetitions))).groupby(keys, sort=False)
    how = {"images": "first", "inversion_residual": "max"}
    values = [name for name in table if name not in keys]
    means = rows.agg({name: how.get(name, "mean") for name in values})
    spreads = rows[[name for name in values if name not in how]].std().add_suffix("_seed_std")
    return means.join(spreads).assign(seeds=rows.size()).reset_index()


def _ours(value: Value, table: pd.DataFrame) -> float:
    """Return our value of a published one; NaN if the table, of curves or priors, does not cover it.

    A prior may be that of another network than the published one, e.g. of a reduced one: then it is the table's first.
    """
    place = value.place
    found = table.loc[table["model"] == place.model]
    if isinstance(place, PriorPlace):
        found = table.loc[table["model"] == table["model"].iloc[0]] if found.empty else found
        if "perturbation" not in found:
            return np.nan
        shifted = shifted_prior(found.loc[found["perturbation"] == place.perturbation])
        if place.image is None:
            return (
                float(np.median(shifted[place.level])) if place.level in shifted and len(shifted) == place.images else np.nan
            )
        return float(shifted.reindex(index=[place.image], columns=[place.level]).iloc[0, 0])
    if "prox_true" not in found or found.empty:
        return np.nan
    if place.quantity == "regulariser":
        return regulariser_at(found, place.x)
    deviation = (found["prox"] - found["prox_true"]).abs()
    return float(np.max(np.interp([-place.x, place.x], found["x"], deviation, left=np.nan, right=np.nan)))


def _within(difference: float, spread: float | None) -> str:
    """Return whether a difference is at most a spread, in words; nothing if one of them is not known."""
    return "" if spread is None or np.isnan(spread) or np.isnan(difference) else "yes" if abs(difference) <= spread else "no"


def published(entries: Published, evaluated: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a row for each published value: the value, ours, their difference, and the source.

    `within_spread` tells whether the difference is at most the authors' own spread from training to training, which is the
    largest distance of their two trainings at a digit and level of the perturbation; it is empty where they published one
    training. `evaluated` are tables of curves whose truth is known, with the columns `CURVES` and `TRUTH`, and of priors,
    `PRIORS`. Our value comes from the first one that covers it, and is NaN if none does.
    """
    import pandas as pd

    rows = []
    for value in entries.values:
        ours = next((ours for table in evaluated if not np.isnan(ours := _ours(value, table))), np.nan)
        difference = value.difference(ours)
        rows.append(
            {
                "quantity": value.describes,
                "published": value.words,
                "ours": ours,
                "ours_minus_published": difference,
                "within_spread": _within(difference, value.spread),
                "source": value.source,
            }
        )
    return pd.DataFrame(rows)


def reconstructions(
    table: pd.DataFrame, experiments: Mapping[str, Experiment], entries: Published, label: str
) -> pd.DataFrame:
    """Return a row for each experiment and method: mean and standard deviation of PSNR and SSIM, ours and published ones.

    `certified` says what a method's trained denoiser or regulariser is certified to be: prox, convex, or none of both; other
    methods are not examined. `largest_psnr_drop` is the largest PSNR that an image lost from its best iterate to the last
    one, which is reported.
    `tuned` names the parameters that were searched for, `precision` the arithmetic of the method, and of the training of its
    network if that is not fp32. Beside a published mean over images stand our mean PSNR of the method of that title less the
    published one, and whether that is within the published standard deviation over images, if there is one.

    Args:
        table: results of images, with the columns `RESULTS`.
        experiments: titles of the experiments and methods in the table.
        entries: published results; they follow ours if they are of the same data set, operator and noise.
        label: scale of our results.

    Raises ValueError if the table lacks a method of an experiment, or has one without a title.
    """
    import pandas as pd

    results = {name: groups(rows, "method") for name, rows in groups(table, "experiment").items()}
    titled = {(name, method) for name, experiment in experiments.items() for method in experiment.methods}
    found = {(name, method) for name, frames in results.items() for method in frames}
    for pairs, fault in ((titled - found, "there are no results of"), (found - titled, "there is no title of")):
        if pairs:
            raise ValueError(f"{fault} {', '.join(f'{name} by {method}' for name, method in sorted(pairs))}")
    tables = []
    for name, frames in results.items():
        experiment = experiments[name]
        ours = [
            {
                "method": experiment.methods[method],
                "source": "this run",
                "certified": experiment.certified.get(method, ""),
                "psnr_mean": frame["psnr"].mean(),
                "psnr_std": frame["psnr"].std(ddof=0),
                "ssim_mean": frame["ssim"].mean(),
                "ssim_std": frame["ssim"].std(ddof=0),
                "largest_psnr_drop": (frame["best_psnr"] - frame["psnr"]).max(),
                "iterations": frame["iteration"].mean(),
                "tuned": frame["tuned"].iloc[0],
                "precision": "; ".join(frame["precision"].unique()),
                "images": len(frame),
                "scale": label,
            }
            for method, frame in frames.items()
        ]
        means = {row["method"]: row["psnr_mean"] for row in ours}
        rows = pd.DataFrame(ours + [row | _beside(row, means) for row in entries.rows(experiment)])
        rows.insert(0, "experiment", experiment.title)
        rows.insert(1, "data", experiment.data)
        tables.append(rows)
    return pd.concat(tables)


def _beside(row: Mapping[str, Any], means: Mapping[str, float]) -> dict[str, Any]:
    """Return how our mean PSNR of the method of a title compares with a published one; nothing if that is of one image."""
    if row["images"] == 1 or row["method"] not in means:
        return {}
    difference = means[row["method"]] - row["psnr_mean"]
    return {"psnr_ours_minus_published": difference, "within_std": _within(difference, row.get("psnr_std"))}
