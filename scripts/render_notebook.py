"""Run a figure notebook with papermill and save its figure (PDF, PNG) and the executed notebook (HTML).

The notebook gets the settings as parameters, and `pdf`, the path of its figure; it writes the .png beside it.

example:
  python scripts/render_notebook.py workflow/notebooks/mnist_violin.ipynb --pdf violin.pdf --executed violin.ipynb
      --spec '{"perturbation": "gaussian", "symbol": "s", "label": "demo"}' --set prior=gaussian.csv arrays=gaussian.npz
"""

import os
from pathlib import Path

import nbformat
from _cli import parser, read_spec

from lpn.errors import UserError, run_cli
from lpn.files import write_text


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("notebook", help="the notebook to run")
    arguments.add_argument("--spec", required=True, help="its parameters: JSON text or a file")
    arguments.add_argument("--set", nargs="*", default=[], metavar="KEY=PATH", help="further parameters")
    arguments.add_argument("--executed", required=True, help="where the executed notebook goes")
    arguments.add_argument("--pdf", required=True, type=Path, help="the figure; .png and .html are written beside it")
    args = arguments.parse_args()
    parameters = read_spec(args.spec) | dict(item.split("=", 1) for item in args.set) | {"pdf": str(args.pdf)}
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # the same figure is the same file

    import papermill
    from nbconvert import HTMLExporter

    Path(args.executed).parent.mkdir(parents=True, exist_ok=True)
    args.pdf.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(args.notebook, args.executed, parameters, kernel_name="python3", progress_bar=False)
    except papermill.PapermillExecutionError as error:
        raise UserError(
            f"{args.notebook} failed in cell {error.cell_index} with {error.ename}: {error.evalue}. "
            f"The notebook as far as it got is {args.executed}."
        ) from error
    html, _ = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(
        nbformat.read(args.executed, as_version=4)
    )
    write_text(args.pdf.with_suffix(".html"), html)


if __name__ == "__main__":
    run_cli(main)
