"""MNIST: the 60,000 official training images, split as in the LPN paper."""

import gzip
import hashlib
import tempfile
from pathlib import Path

import numpy as np

from lpn.data._base import DataSet, Images, Sizes, Sources
from lpn.data._fetch import download, first_good
from lpn.files import read_array

PARTS = {"train": slice(0, 50000), "test": slice(50000, 55000), "validation": slice(55000, 60000)}
FILE = "train-images-idx3-ubyte"
MD5 = "6bbc9ace898e44ae57da46a324031adb"  # of the unpacked idx file; torchvision lists that of the .gz
HEADER = np.array([2051, 60000, 28, 28], ">i4").tobytes()


class MNIST(DataSet):
    """MNIST: uint8 (n, 1, 28, 28).

    The first source whose bytes have the official checksum is used: the folder `mnist` of the data folder (mnist.npy or the
    idx file, packed or not), the mirrors in order, torchvision's sources.
    """

    channels = 1
    same_everywhere = True

    def sizes(self, split: str) -> Sizes:
        return [(28, 28, PARTS[split].stop - PARTS[split].start)]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        from torchvision import datasets

        places, names = [sources.folder / "mnist", sources.folder / "MNIST/raw"], ["mnist.npy", FILE, f"{FILE}.gz"]
        own = [str(place / name) for place in places for name in names if (place / name).exists()]
        source, images = first_good(
            [*own, *sources.mirrors, *datasets.MNIST.mirrors],
            _read,
            help=f"MNIST could not be downloaded from any source. Place {FILE}.gz (or mnist.npy) in {places[0]}, or name a "
            "mirror, a folder or URL, that has it.",
        )
        return source, {split: images[part] for split, part in PARTS.items()}


def _read(source: str) -> np.ndarray:
    """Return all images (n, 1, 28, 28), from an idx file, an .npy file, or a URL or folder that has the packed idx file."""
    with tempfile.TemporaryDirectory() as folder:
        path = download(f"{source.rstrip('/')}/{FILE}.gz", folder) if "://" in source else Path(source)
        if path.is_dir():
            path /= f"{FILE}.gz"
        raw = HEADER + read_array(path).tobytes() if path.suffix == ".npy" else path.read_bytes()
    if path.suffix == ".gz":
        raw = gzip.decompress(raw)
    if hashlib.md5(raw).hexdigest() != MD5:
        raise ValueError(f"wrong checksum, so truncated, damaged or not MNIST ({len(raw)} bytes unpacked)")
    return np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
