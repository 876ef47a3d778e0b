"""Make one table, as CSV, Markdown and LaTeX, from files that other jobs wrote.

examples:
  python scripts/make_table.py certificates --label demo --output tables/certificates.csv results/demo/certificates/*.json
  python scripts/make_table.py laplacian --label demo --shown 3.5 --output laplacian.csv results/demo/laplacian/curves/*.csv
  python scripts/make_table.py mnist --label demo --output mnist.csv results/demo/mnist/prior/mnist/*.csv
  python scripts/make_table.py deblurring --label demo --output deblurring.csv results/demo/inverse/*/*/0.csv
      --published config/published.yaml --titles '{"deblur_1_0.04": {"title": "Deblurring", "data": "photographs",
      "operator": {"name": "blur", "sigma": 1.0}, "noise": 0.04, "methods": {"lpn": "LPN"}}}'
  python scripts/make_table.py published --label demo --published config/published.yaml --output published.csv
      results/demo/laplacian/curves/*.csv results/demo/mnist/prior/mnist/*.csv
"""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from _cli import parser

from lpn.errors import UserError, run_cli
from lpn.files import write_text


def certificates(files: list[Path], args: Namespace) -> pd.DataFrame:
    """One row a model: its certificate."""
    rows = [{"model": path.stem} | json.loads(path.read_text()) for path in files]
    return pd.DataFrame(rows).drop(columns="failures")


def laplacian_errors(curves: pd.DataFrame, shown: float) -> dict[str, float]:
    """Return the errors of prox and prior on |x| <= shown, and R(3.4)."""
    inside = curves[curves.x.abs() <= shown]
    deviation = (inside.prox - inside.prox_true).abs()
    return {
        "prox_mean_error": deviation.mean(),
        "prox_max_error": deviation.max(),
        "prior_at_3.4": prior_at(curves, 3.4),
        "prior_mean_error": (inside.prior - inside.prior_true).abs().mean(),
        "inversion_residual": inside.residual.max(),
    }


def prior_at(curves: pd.DataFrame, x: float) -> float:
    """Return R(x) minus its minimum, interpolated between grid points; NaN outside the grid."""
    return float(np.interp(x, curves.x, curves.prior, left=np.nan, right=np.nan))


def laplacian(files: list[Path], args: Namespace) -> pd.DataFrame:
    """One row a model: distance to soft thresholding and to |x|."""
    return pd.DataFrame([{"model": p.stem} | laplacian_errors(pd.read_csv(p), args.shown) for p in files])


def auc(clean: np.ndarray, corrupted: np.ndarray) -> float:
    """Return the probability that R ranks a corrupted image above a clean one: the area under the ROC curve."""
    above, equal = corrupted[:, None] > clean, corrupted[:, None] == clean
    return float((above + equal / 2).mean())


def mnist(files: list[Path], args: Namespace) -> pd.DataFrame:
    """One row a model, perturbation and level: mean and standard deviation of R, shifted to minimum 0 over the perturbation.

    `auc` is that of R for telling the level from the first one.
    """
    rows = []
    for path in files:
        priors = pd.read_csv(path, index_col="image")
        residuals = np.load(path.with_suffix(".npz"), allow_pickle=False)["residual"]
        shifted = priors - priors.min().min()
        for level, residual in zip(shifted, residuals, strict=True):
            rows.append(
                {
                    "model": path.parent.name,
                    "perturbation": path.stem,
                    "level": level,
                    "prior_mean": shifted[level].mean(),
                    "prior_std": shifted[level].std(ddof=0),
                    "auc": auc(shifted.iloc[:, 0].to_numpy(), shifted[level].to_numpy()),
                    "images": len(shifted),
                    "inversion_residual": residual.max(),
                }
            )
    return pd.DataFrame(rows)


def measure(quantity: str, arguments: dict[str, Any], frames: dict[str, pd.DataFrame]) -> float | None:
    """Return our value of a published quantity; None where this run does not cover it."""
    frame = frames.get(arguments.get("model") or arguments.get("perturbation"))
    if frame is None:
        return None
    if quantity == "laplacian_prior_at":
        return prior_at(frame, arguments["x"])
    if quantity == "laplacian_prox_deviation_at":
        deviation = (frame.prox - frame.prox_true).abs()
        return float(max(np.interp(x, frame.x, deviation) for x in (-arguments["x"], arguments["x"])))
    if quantity == "mnist_prior":
        row, level = arguments["image"], float(arguments["level"])
        frame = frame.rename(columns=float)
        present = row in frame.index and level in frame.columns
        return frame.loc[row, level] - frame.min().min() if present else None
    raise UserError(f"config/published.yaml: quantity {quantity!r} is not known to scripts/make_table.py.")


def published(files: list[Path], args: Namespace) -> pd.DataFrame:
    """One row a published value: it, ours, and the source."""
    frames = {
        path.stem: pd.read_csv(path, index_col="image" if path.parent.parent.name == "prior" else None) for path in files
    }
    return pd.DataFrame(
        [
            {
                "quantity": entry["describes"],
                "published": f"about {entry['published']}" if entry["precision"] == "about" else entry["published"],
                "ours": measure(entry["quantity"], entry["arguments"], frames),
                "source": entry["source"],
            }
            for entry in yaml.safe_load(args.published.read_text())["values"]
        ]
    )


def results(files: list[Path]) -> dict[str, pd.DataFrame]:
    """Return the per-image metrics of each experiment/method, from .../<experiment>/<method>/<part>.csv."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for path in files:
        parts.setdefault(f"{path.parts[-3]}/{path.parts[-2]}", []).append(pd.read_csv(path))
    return {name: pd.concat(frames) for name, frames in parts.items()}


def published_results(path: Path, name: str, experiment: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each published result of an experiment: of the same operator and noise, on the same data."""
    published, rows = yaml.safe_load(path.read_text()), []
    if published["experiments"].get(name) != {key: experiment[key] for key in ("operator", "noise")}:
        return []
    for entry in published["results"]:
        for method, value in entry["psnr_ssim"].get(name, {}).items() if entry["data"] == experiment["data"] else ():
            quality = value if isinstance(value, dict) else dict(zip(("psnr_mean", "ssim_mean"), value, strict=True))
            rows.append(
                {"method": method, "source": entry["source"]} | quality | {"images": entry["images"], "scale": "published"}
            )
    return rows


def reconstruction(files: list[Path], args: Namespace) -> pd.DataFrame:
    """One row an experiment and method: mean and standard deviation of PSNR and SSIM over the images, ours and published.

    `largest_psnr_drop` is the largest loss of an image from its best iterate to the last, which is the one reported; `tuned`
    are the parameters that were searched for.
    """
    experiments, frames, tables = json.loads(args.titles), results(files), []
    for name, experiment in experiments.items():
        if missing := [method for method in experiment["methods"] if f"{name}/{method}" not in frames]:
            raise UserError(f"the files hold no results of {name} by {', '.join(missing)}, which --titles names.")
        ours = [
            {
                "method": title,
                "source": "this run",
                "psnr_mean": frame.psnr.mean(),
                "psnr_std": frame.psnr.std(ddof=0),
                "ssim_mean": frame.ssim.mean(),
                "ssim_std": frame.ssim.std(ddof=0),
                "largest_psnr_drop": (frame.best_psnr - frame.psnr).max(),
                "iterations": frame.iteration.mean(),
                "tuned": frame.tuned.iloc[0],
                "images": len(frame),
                "scale": args.label,
            }
            for title, frame in ((title, frames[f"{name}/{method}"]) for method, title in experiment["methods"].items())
        ]
        rows = pd.DataFrame(ours + published_results(args.published, name, experiment))
        rows.insert(0, "experiment", experiment["title"])
        rows.insert(1, "data", experiment["data"])
        tables.append(rows)
    return pd.concat(tables)


TABLES = {"certificates": certificates, "laplacian": laplacian, "mnist": mnist, "published": published}


LATEX = {"_": r"\_", "%": r"\%", "#": r"\#", "&": r"\&", "|": r"\textbar{}"}


def escape_latex(text: str) -> str:
    """Return text for LaTeX; what stands between $ signs is mathematics and left alone."""
    parts = text.split("$")
    parts[::2] = [part.translate(str.maketrans(LATEX)) for part in parts[::2]]
    return "$".join(parts)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write `table` as CSV at `path`, and as Markdown and LaTeX beside it."""
    write_text(path, table.to_csv(index=False, float_format="%.6g"))
    shown = table.map(lambda value: f"{value:.4g}" if isinstance(value, float) and not np.isnan(value) else value)
    shown = shown.astype(object).where(table.notna(), "")
    markdown = shown.map(lambda value: str(value).replace("|", r"\|"))
    write_text(path.with_suffix(".md"), markdown.to_markdown(index=False, disable_numparse=True) + "\n")
    shown = shown.rename(columns=escape_latex).map(lambda value: escape_latex(str(value)))
    write_text(path.with_suffix(".tex"), shown.to_latex(index=False, escape=False))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("table", help=f"{', '.join(TABLES)}, or another name for a table of reconstructions")
    arguments.add_argument("files", nargs="+", type=Path, help="what the table is made from")
    arguments.add_argument("--label", required=True, help="scale of the run, a column of the table")
    arguments.add_argument("--shown", type=float, help="Laplacian errors cover |x| up to this")
    arguments.add_argument("--titles", help="JSON text: of each experiment title, data, operator, noise, methods' titles")
    arguments.add_argument("--published", type=Path, help="YAML file of published values")
    arguments.add_argument("--output", required=True, type=Path, help="CSV file; .md and .tex are written beside it")
    args = arguments.parse_args()
    if args.table not in TABLES and not (args.titles and args.published):
        raise UserError(f"the table {args.table} of reconstructions needs --titles and --published.")
    table = TABLES.get(args.table, reconstruction)(args.files, args)
    write_table(table if "scale" in table else table.assign(scale=args.label), args.output)


if __name__ == "__main__":
    run_cli(main)
