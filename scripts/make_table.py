"""Make one table, as CSV, Markdown, LaTeX and HTML, from files that other jobs wrote.

examples:
  python scripts/make_table.py certificates --spec '{"label": "demo"}' --output models.csv results/demo/certificates/*.json
  python scripts/make_table.py curves --spec '{"label": "demo", "shown": 3.5}' --output curves.csv
      results/demo/curves/laplacian_short/*.csv
  python scripts/make_table.py priors --spec '{"label": "demo"}' --output priors.csv
      results/demo/priors/mnist_small/mnist_small/*.csv
  python scripts/make_table.py published --spec '{"label": "demo", "published": "config/published.yaml"}'
      --output published.csv --list files.txt
  python scripts/make_table.py reconstructions --output deblurring.csv results/paper/experiments/deblur_1_0.04/lpn/?.csv
      --spec '{"label": "paper settings", "published": "config/published.yaml", "experiments": {"deblur_1_0.04": {
      "title": "Deblurring", "data": "celeba", "operator": {"name": "blur", "sigma": 1.0}, "noise": 0.04,
      "methods": {"lpn": "LPN"}}}}'
"""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
from _cli import as_user_errors, parser, read_spec, run_job
from _lists import read_list
from pydantic import Field, PositiveFloat

from lpn import pages, tables
from lpn.errors import UserError
from lpn.files import write_text
from lpn.published import Experiment, Published
from lpn.settings import File, Settings, describe


class Table(Settings):
    """Settings of a kind of table."""

    label: str = Field(description="scale of the run, a column of the table")

    def make(self, files: list[Path]) -> pd.DataFrame:
        """Return the table of the files."""
        raise NotImplementedError


class Certificates(Table):
    """A row for each model: its certificate. The files are those of scripts/certify.py (JSON)."""

    def make(self, files: list[Path]) -> pd.DataFrame:
        return tables.certificates([_certificate(path) for path in files])


def _certificate(path: Path) -> dict[str, object]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read as JSON ({error}). If the pipeline made it, delete it, and the pipeline "
                        "makes it anew.") from error  # fmt: skip
    if not isinstance(entries, dict) or not {"model", "failures"} <= entries.keys():
        raise UserError(f"{path} is no certificate of a named model. Make it again by scripts/certify.py with --name.")
    return entries


class Curves(Table):
    """A row for each scalar model: its distance from the truth. The files are those of scripts/curves.py."""

    shown: PositiveFloat = Field(description="errors are those on |x| up to this")
    at: float = Field(default=3.4, description="where to give the regulariser")
    repetitions: dict[str, str] = Field(
        default={}, description="models that repeat another one with another seed, e.g. {net_seed2: net}"
    )

    def make(self, files: list[Path]) -> pd.DataFrame:
        rows = tables.curves(tables.read_tables(files, tables.CURVES), self.shown, self.at)
        return tables.over_seeds(rows, self.repetitions)


class Priors(Table):
    """A row for each model, perturbation and level: the learned prior. The files are those of scripts/prior.py."""

    repetitions: dict[str, str] = Field(
        default={}, description="models that repeat another one with another seed, e.g. {net_seed2: net}"
    )

    def make(self, files: list[Path]) -> pd.DataFrame:
        return tables.over_seeds(tables.priors(tables.read_tables(files, tables.PRIORS)), self.repetitions)


class PublishedValues(Table):
    """A row for each published value and ours. The files are those of the tables curves and priors."""

    published: File = Field(description="YAML file of published values")

    def make(self, files: list[Path]) -> pd.DataFrame:
        evaluated = [tables.read_table(path, ("model", "regulariser")) for path in files]
        return tables.published(read_spec(self.published, Published), evaluated)


class Reconstructions(Table):
    """A row for each experiment and method: PSNR and SSIM. The files are those of scripts/reconstruct.py, --images."""

    experiments: dict[str, Experiment] = Field(description="title, data, operator, noise, titles of methods, of each")
    published: File | None = Field(default=None, description="YAML file of published results")

    def make(self, files: list[Path]) -> pd.DataFrame:
        published = read_spec(self.published, Published) if self.published else Published()
        results = tables.read_tables(files, tables.RESULTS)
        with as_user_errors("the files do not fit the settings: "):
            return tables.reconstructions(results, self.experiments, published, self.label)


KINDS: dict[str, type[Table]] = {
    "certificates": Certificates,
    "curves": Curves,
    "priors": Priors,
    "published": PublishedValues,
    "reconstructions": Reconstructions,
}
LATEX = str.maketrans({"|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}"})  # other signs in LaTeX's old fonts
MARKDOWN = str.maketrans({"<": r"\<"})  # else of HTML


def _outside_formulas(text: str, signs: dict[int, str] = LATEX) -> str:
    """Return a text with the signs outside its formulas replaced."""
    parts = re.split(f"({tables.FORMULA})", text)
    parts[::2] = [part.translate(signs) for part in parts[::2]]
    return "".join(parts)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write `table` as CSV at `path`, and as Markdown, LaTeX and HTML beside it."""
    content = table.to_csv(index=False, float_format="%.6g")
    write_text(path, content)
    write_text(path.with_suffix(".html"), pages.table_page(list(csv.DictReader(content.splitlines(keepends=True)))))
    shown = table.map(lambda value: f"{value:.4g}" if isinstance(value, float) and not np.isnan(value) else value)
    shown = shown.astype(object).where(table.notna(), "").reset_index(drop=True)
    shown = shown.map(lambda value: " ".join(str(value).split()))  # a new line would end the row
    markdown = shown.map(lambda value: _outside_formulas(value, MARKDOWN).replace("|", r"\|"))
    write_text(path.with_suffix(".md"), markdown.to_markdown(index=False, disable_numparse=True) + "\n")
    latex = shown.style.hide(axis="index")
    latex.format(_outside_formulas, escape="latex-math")
    latex.format_index(_outside_formulas, escape="latex-math", axis="columns")
    write_text(path.with_suffix(".tex"), latex.to_latex(hrules=True))


def main() -> None:
    kinds = "\n".join(f"{name}: {kind.__doc__}\n{describe(kind)}" for name, kind in KINDS.items())
    arguments = parser(f"{__doc__}\nkinds of tables, with the keys of their --spec:\n{kinds}")
    arguments.add_argument("kind", choices=KINDS, help="what is in the table")
    arguments.add_argument("files", nargs="*", type=Path, help="what the table is made from")
    arguments.add_argument("--list", type=Path, help="text file with the paths of further files, one in each line")
    arguments.add_argument("--spec", required=True, help="settings of the kind: JSON text or a file")
    arguments.add_output("--output", help="CSV file; .md, .tex and .html are written beside it")
    args = arguments.parse_intermixed_args()
    settings = read_spec(args.spec, KINDS[args.kind])
    files = [*args.files, *map(Path, read_list(args.list))]
    if not files:
        raise UserError(f"the table {args.kind} needs files: name them on the command line or in the file of --list.")
    table = settings.make(files)
    write_table(table if "scale" in table else table.assign(scale=settings.label), args.output)


if __name__ == "__main__":
    run_job(main)
