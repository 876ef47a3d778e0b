"""Writing data sets as arrays: the raw images are decoded one by one, so large sets need little memory."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lpn.data import SPLITS, DataSet, Images, Sources
from lpn.files import atomic_path

THREADS = 4
WINDOW = 8  # images in memory: decoded ones wait for the disk


def prepare(dataset: DataSet, output: str | Path, sources: Sources) -> str:
    """Write the arrays of a data set as `output`/{train,validation,test}.npy; return where the raw data came from.

    Each file is one array (n, C, H, W), uint8 or float32 in [0, 1]; test sets of images of several sizes are written as one
    array of each size, one after the other in the same file. Splits of sets that only test are empty arrays.

    Raises UserError, naming the file and the remedy, for missing, damaged or unfit data; ValueError if what the data set
    reads is no such array, or it is drawn.
    """
    if not dataset.prepared:
        raise ValueError("there are no images to prepare, because its samples are drawn")
    source, images = dataset.read(sources)
    if missing := [split for split in SPLITS if not (isinstance(images.get(split), np.ndarray) or images.get(split))]:
        raise ValueError(
            f"a data set must read all splits, empty ones as arrays (0, C, H, W); it lacks {', '.join(missing)}"
        )
    for split in SPLITS:
        path = Path(output) / f"{split}.npy"
        with atomic_path(path, suffix=".npy") as temporary:
            _write(temporary, images[split])
    return source


def _write(path: Path, images: Images) -> None:
    """Write an array, arrays of several sizes, or images that are read one by one."""
    from tqdm import tqdm

    with path.open("wb") as file:  # not a memory map: with one, a full disk kills the process
        if not isinstance(images, list):
            for array in images if isinstance(images, tuple) else (images,):
                _check(array, array[:1])
                np.save(file, array)
            return
        first: np.ndarray | None = None
        for image in tqdm(_decoded(images), total=len(images), unit="image"):
            _check(image[None], image[None] if first is None else first)
            if first is None:
                first = image[None]
                header = {"descr": image.dtype.str, "fortran_order": False, "shape": (len(images), *image.shape)}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(image.tobytes())


def _check(images: np.ndarray, first: np.ndarray) -> None:
    """Raise ValueError if an array is no images (n, C, H, W) that can be read again, or they are unlike the first."""
    fit = images.ndim == 4 and images.dtype in (np.uint8, np.float32)
    if not fit or (images.shape[1:], images.dtype) != (first.shape[1:], first.dtype):
        raise ValueError(
            "a data set must read uint8 or float32 images (n, C, H, W), all of one type and size in a list of functions; "
            f"this one reads {images.dtype} {images.shape}"
        )
    if images.dtype == np.float32 and images.size and not (images.min() >= -1e-3 and images.max() <= 1 + 1e-3):
        raise ValueError(f"float32 images must be in [0, 1]; these are in [{images.min():.4g}, {images.max():.4g}]")


def _decoded(images: list[Callable[[], np.ndarray]]) -> Iterator[np.ndarray]:
    """Yield images in their order, which threads read ahead of time, but no more than `WINDOW` of them."""
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(images), WINDOW):
            yield from pool.map(lambda read: read(), images[start : start + WINDOW])
