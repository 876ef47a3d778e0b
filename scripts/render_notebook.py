"""Run a figure notebook with papermill and save its figure (PDF, PNG) and the executed notebook (HTML).

The notebook gets the settings as parameters, `files`, the paths it reads, and `pdf`, the path of its figure; it writes the
.png beside it. The keys of the settings are its other parameters.

example:
  python scripts/render_notebook.py workflow/notebooks/prior_violin.ipynb --pdf violin.pdf --executed violin.ipynb
      --spec '{"symbol": "s", "label": "demo"}' --files gaussian.csv
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from _cli import parser, read_spec, run_job
from _lists import read_list
from pydantic import create_model

from lpn.errors import UserError
from lpn.files import WRITTEN, write_text
from lpn.settings import Settings

OWN = ("files", "pdf")  # parameters that are options of this script


def settings_of(notebook: str) -> type[Settings]:
    """Return settings with a key for each parameter of a notebook. Raises UserError if it can't be read or lacks `OWN`."""
    import papermill

    try:
        names = papermill.inspect_notebook(notebook)
    except (OSError, ValueError) as error:
        raise UserError(f"the notebook {notebook} can't be read ({error}).") from error
    if missing := [name for name in OWN if name not in names]:
        raise UserError(f"{notebook} lacks the parameters {', '.join(missing)}: set them in its cell tagged 'parameters'.")
    keys: dict[str, Any] = {name: (Any, ...) for name in names if name not in OWN}
    return create_model("Parameters", __base__=Settings, **keys)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("notebook", help="the notebook to run")
    arguments.add_argument("--spec", required=True, help="its parameters: JSON text or a file")
    arguments.add_argument("--files", nargs="+", default=[], help="the files that it reads, in the order that it says")
    arguments.add_argument("--list", type=Path, help="text file with the paths of further files, one in each line")
    arguments.add_output("--executed", help="where the executed notebook goes")
    arguments.add_output("--pdf", help="the figure; .png and .html are written beside it")
    args = arguments.parse_args()
    spec = read_spec(args.spec, settings_of(args.notebook))
    parameters = spec.model_dump(mode="json") | {"files": [*args.files, *read_list(args.list)], "pdf": str(args.pdf)}
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # the same figure is the same file

    import matplotlib  # noqa: F401 - the notebook uses it: the record names its version
    import papermill
    from ipykernel.kernelspec import write_kernel_spec
    from nbconvert import HTMLExporter

    args.executed.parent.mkdir(parents=True, exist_ok=True)
    args.pdf.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory() as folder:  # a kernel of this Python, and no files or settings of the user's home
            write_kernel_spec(f"{folder}/kernels/python3")
            os.environ.update(dict.fromkeys(("JUPYTER_PATH", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"), folder))
            notebook = papermill.execute_notebook(
                args.notebook, str(args.executed), parameters, kernel_name="python3", progress_bar=False
            )
    except papermill.PapermillExecutionError as error:
        raise UserError(
            f"{args.notebook} failed in cell {error.cell_index} with {error.ename}: {error.evalue}. "
            f"The notebook as far as it got is {args.executed}."
        ) from error
    html, _ = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(notebook)
    write_text(args.pdf.with_suffix(".html"), html)
    WRITTEN.update({args.pdf, args.pdf.with_suffix(".png")})  # by the notebook


if __name__ == "__main__":
    run_job(main)
