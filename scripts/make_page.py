"""Make the page of a run: one HTML file with every figure and table, beside which the run's files lie.

It shows what is there, and names what is missing with the command that makes it: a run need not be finished.

example:
  python workflow/page.py config/demo.yaml --output page.json
  python scripts/make_page.py --spec page.json --logs logs/demo --output results/demo/index.html
"""

import csv
from pathlib import Path

from _cli import as_user_errors, parser, read_spec, run_job
from _git import ROOT

from lpn import pages
from lpn.errors import UserError
from lpn.files import write_text
from lpn.record import differences, read_records, record

TEMPLATE = ROOT / "workflow/report/page.html"


class Content:
    """The functions that the template calls, of the files in the folder of a run."""

    def __init__(self, page: pages.Page, folder: Path) -> None:
        self.page, self.folder = page, folder
        figures = [f"figures/{figure.name}.png" for paper in page.papers for part in paper.parts for figure in part.figures]
        tables = [f"tables/{name}.csv" for paper in page.papers for part in paper.parts for name in part.tables]
        self.missing = [name for name in [*figures, *tables] if not self.has(name)]

    def has(self, name: str) -> bool:
        """Tell whether a file is there."""
        return (self.folder / name).is_file()

    def figure(self, figure: pages.Figure) -> str:
        """Return a figure as HTML."""
        return pages.picture(self.folder / f"figures/{figure.name}.png", figure.caption)

    def table(self, name: str, part: pages.Part) -> str:
        """Return a table of a part as HTML, with the certificates of its models."""
        path = self.folder / f"tables/{name}.csv"
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, strict=True))
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{path} can't be read as a CSV table ({error}). Delete it, and make it again.") from error
        shown = [row for row in rows if row.get("ours", "this run's")]
        table = pages.html_table(self._without_scale(shown), [self._mark(row, part.learned) for row in shown])
        hidden = len(rows) - len(shown)
        return table + f"<p>The CSV file also has published values without ours: {hidden}.</p>" * bool(hidden)

    def _without_scale(self, rows: list[dict[str, str]]) -> list[dict[str, str]]:
        """Return rows without the scale of the run, which the page's heading states for all of them."""
        if any(row.get("scale") != self.page.label for row in rows):
            return rows
        return [{name: value for name, value in row.items() if name != "scale"} for row in rows]

    def _mark(self, row: dict[str, str], learned: dict[str, dict[str, str]]) -> str:
        """Return the certificate of a row's model, if it has one."""
        model = row.get("model") or learned.get(row.get("experiment", ""), {}).get(row.get("method", ""), "")
        ours = row.get("source", "this run") == "this run"
        file = self.page.certificates.get(model)
        return pages.certificate_mark(self.folder, file) if file and ours else ""

    def choices(self, part: pages.Part) -> str:
        """Return how the parameters of a part's methods were set, as HTML."""
        return pages.html_table([pages.choice_row(choice, self.folder) for choice in part.choices])

    def models(self) -> str:
        """Return the networks of the run as HTML."""
        rows = [model.model_dump() for model in self.page.models]
        return pages.html_table(rows, [self._mark(row, {}) for row in rows])


def main() -> None:
    from jinja2 import Environment

    arguments = parser(__doc__, pages.Page)
    arguments.add_argument("--spec", required=True, help="content of the page: JSON text or a file of workflow/page.py")
    arguments.add_argument("--logs", required=True, type=Path, help="the run's folder of logs, which tell of mixed runs")
    arguments.add_output("--output", help="HTML file in the run's folder of results")
    args = arguments.parse_args()
    page = read_spec(args.spec, pages.Page)
    content = Content(page, args.output.parent)
    template = Environment(autoescape=False, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    with as_user_errors():
        mixed = differences(read_records(args.logs) | {"page": record()})
        html = template.render(page=page, content=content, mixed=mixed, markup=pages.markup, style=pages.STYLE)
    write_text(args.output, html)
    if content.missing:
        print(f"note: {len(content.missing)} figures and tables are missing; the page names them.")


if __name__ == "__main__":
    run_job(main)
