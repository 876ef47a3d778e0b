"""Prepare a data set: find or download its raw files, check them, and write train.npy, validation.npy and test.npy.

Raw files come from your own copy in FOLDER (docs/data.md shows the layout), the mirrors or the official sources.
set11 and mcmaster have no official download; photographs (scikit-image's) and phantoms (computed) need no files.

examples:
  python scripts/prepare_data.py --spec '{"name": "mnist"}' --folder data --output data/prepared/mnist
  python scripts/prepare_data.py --spec '{"name": "celeba", "count": null}' --folder data --output data/prepared/celeba
"""

from pathlib import Path
from typing import Annotated

from _cli import parser, read_spec, run_job
from pydantic import RootModel

from lpn.data import DataSet, Sources
from lpn.errors import UserError
from lpn.prepare import prepare
from lpn.settings import Choice, blame, names


def main() -> None:
    arguments = parser(__doc__)
    known = f"{', '.join(names('dataset'))} or FILE.py:CLASS"
    arguments.add_argument("--spec", required=True, help=f"the settings, as JSON or a file; their 'name' is one of {known}")
    arguments.add_argument(
        "--folder", default="data", type=Path, help="folder of your own copies, only read (default: data)"
    )
    arguments.add_argument("--mirror", nargs="*", default=[], help="URLs or folders that hold the official files")
    arguments.add_argument("--output", required=True, type=Path, help="folder of the arrays")
    args = arguments.parse_args()
    dataset = read_spec(args.spec, RootModel[Annotated[DataSet, Choice("dataset")]]).root
    try:
        source = prepare(dataset, args.output, Sources(args.folder, args.mirror))
    except ValueError as error:
        raise UserError(f"{blame(dataset, error)}data set {dataset.name}: {error}.") from error
    print(f"{dataset.name} from {source}")


if __name__ == "__main__":
    run_job(main)
