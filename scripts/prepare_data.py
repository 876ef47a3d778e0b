"""Prepare a data set: find or download its raw files, check them, and write train.npy, validation.npy and test.npy.

Data sets come from your own copy in FOLDER (in the layout that config/README.md shows), the mirrors or the official sources;
set11, mcmaster and kernels have no official download; photographs (scikit-image's) and phantoms (computed) need none.

examples:
  python scripts/prepare_data.py mnist --folder data --output data/prepared/mnist
  python scripts/prepare_data.py celeba --folder data --output data/prepared/celeba --count 162770
"""

from pathlib import Path

from _cli import parser

from lpn.errors import run_cli
from lpn.sources import DATASETS, prepare


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("name", choices=DATASETS)
    arguments.add_argument("--folder", default="data", help="folder with your own copies, only read (default: data)")
    arguments.add_argument("--mirror", nargs="*", default=[], help="URLs or folders that hold the official files")
    arguments.add_argument("--count", type=int, help="number of images that must be there (default: any)")
    arguments.add_argument("--output", required=True, type=Path, help="folder of the arrays")
    args = arguments.parse_args()
    source = prepare(args.name, args.output, args.folder, args.mirror, args.count)
    print(f"{args.name} from {source}")


if __name__ == "__main__":
    run_cli(main)
