"""Reading the arrays that `lpn.prepare` writes, and images as tensors."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpn.errors import UserError
from lpn.files import read_array

REMEDY = "If it was prepared from a data set, delete it and prepare the data again; a file of your own must be corrected."


def _checked(read: Callable[[], np.ndarray], path: str | Path) -> np.ndarray:
    """Return the images that `read` makes of `path`. Raises UserError if it can't, or they are no images."""
    try:
        images = read()
    except ValueError as error:
        raise UserError(f"{path} can't be read as a NumPy array ({error}). {REMEDY}") from error
    if images.ndim != 4 or not len(images) or images.dtype not in (np.uint8, np.float32):
        raise UserError(f"{path} holds {images.dtype} {images.shape}, not uint8 or float32 images (n, C, H, W). {REMEDY}")
    return images


def load_images(path: str | Path) -> np.memmap:
    """Return the images of a prepared file, (n, C, H, W), uint8 or float32 in [0, 1], mapped from the disk.

    Raises UserError if the file is missing or holds no such array.
    """
    images = _checked(lambda: read_array(path, mmap_mode="r"), path)
    assert isinstance(images, np.memmap)
    return images


def read_images(path: str | Path, first: int, count: int) -> np.ndarray:
    """Return `count` images (count, C, H, W) of a prepared file, from number `first` on, uint8 or float32 in [0, 1].

    A file may hold images of several sizes: an array for each size, one after the other.

    Raises UserError as `load_images` does, and if there are fewer images, they differ in size or are not finite.
    """
    mapped = load_images(path)
    arrays: list[np.ndarray] = [mapped]
    with Path(path).open("rb") as file:
        file.seek(mapped.offset + mapped.nbytes)
        while file.peek(1):
            arrays.append(_checked(lambda: read_array(file), path))
    chosen = list(itertools.islice(itertools.chain(*arrays), first, first + count))
    asked = f"images {first} to {first + count - 1}"
    if len(chosen) < count:
        raise UserError(f"{asked} are needed, but {path} has only {sum(map(len, arrays))} images. Ask for fewer.")
    if len({image.shape for image in chosen}) > 1:
        sizes = ", then ".join(f"{len(array)} of {array.shape[2]}x{array.shape[3]}" for array in arrays)
        remedy = "Read images of one size at a time; one image at a time always works."
        raise UserError(f"{asked} of {path} have different sizes. It has {sizes}. {remedy}")
    images = np.stack(chosen)
    if not np.isfinite(images).all():
        raise UserError(f"{path} holds NaN or infinite values. {REMEDY}")
    return images


def to_tensor(images: np.ndarray) -> Tensor:
    """Return uint8 or float32 images of any shape as float32 in [0, 1]. Raises UserError if one is not finite."""
    tensor = torch.from_numpy(np.array(images))
    if tensor.dtype == torch.uint8:
        return tensor.float() / 255
    if not tensor.isfinite().all():
        raise UserError("an image holds NaN or infinite values. Correct it, and prepare the data again.")
    return tensor


def centre(images: Tensor, side: int) -> Tensor:
    """Return the centres (n, C, side, side) of images (n, C, H, W). Raises ValueError if the images are smaller."""
    if side > min(images.shape[-2:]):
        raise ValueError(f"squares of side {side} don't fit into images of {images.shape[-2]}x{images.shape[-1]}")
    top, left = ((n - side) // 2 for n in images.shape[-2:])
    return images[..., top : top + side, left : left + side]
