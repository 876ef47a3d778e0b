"""MNIST: the 60,000 official training images, split as in the LPN paper."""

import gzip
import hashlib
import tempfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from lpn.data._base import DataSet, Images, Sources
from lpn.data._fetch import download, reason
from lpn.errors import UserError
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

    @property
    def channels(self) -> int:
        """1: images are grey."""
        return 1

    @property
    def same_everywhere(self) -> bool:
        """Yes: a checksum is compared."""
        return True

    def sizes(self, split: str) -> list[tuple[int, int, int | None]]:
        """Return the one size of all images, and their number."""
        return [(28, 28, PARTS[split].stop - PARTS[split].start)]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        """Read the images from the first good source: see `DataSet.read`."""
        problems = []
        for name, read in _sources(sources):
            try:
                raw = read()
            except (OSError, EOFError, ValueError, zlib.error) as error:
                problems.append(f"{name}: {reason(error)}")
                continue
            if hashlib.md5(raw).hexdigest() != MD5:
                problems.append(f"{name}: wrong checksum, so truncated, damaged or not MNIST ({len(raw)} bytes unpacked)")
                continue
            images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
            return name, {split: images[part] for split, part in PARTS.items()}
        raise UserError(
            f"MNIST could not be downloaded from any source. Place {FILE}.gz (or mnist.npy) in {sources.folder / 'mnist'}, "
            "or name a mirror, a folder or URL, that has it. Tried:\n  " + "\n  ".join(problems)
        )


def _sources(sources: Sources) -> list[tuple[str, Callable[[], bytes]]]:
    """Return the name of each source, and what reads the bytes of the idx file from it."""
    found: list[tuple[str, Callable[[], bytes]]] = []
    for place in [sources.folder / "mnist", sources.folder / "MNIST" / "raw"]:
        for name in ["mnist.npy", FILE, f"{FILE}.gz"]:
            path = place / name
            if path.exists():
                found.append((str(path), partial(_read_idx, path)))
    return found + [(mirror, partial(_read_mirror, mirror)) for mirror in [*sources.mirrors, *_torchvision_mirrors()]]


def _read_idx(path: Path) -> bytes:
    """Return the bytes of the idx file, from an idx file, packed or not, or an .npy file of its images."""
    if path.suffix == ".npy":
        return HEADER + read_array(path).tobytes()
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _read_mirror(mirror: str) -> bytes:
    if "://" not in mirror:
        return _read_idx(Path(mirror) / f"{FILE}.gz")
    with tempfile.TemporaryDirectory() as folder:
        return _read_idx(download(f"{mirror.rstrip('/')}/{FILE}.gz", folder))


def _torchvision_mirrors() -> list[str]:
    from torchvision import datasets

    return datasets.MNIST.mirrors
