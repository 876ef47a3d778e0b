"""Writing of data sets: bounded memory, and what a plug-in may do wrong."""

import time
from functools import partial
from pathlib import Path
from typing import ClassVar
from weakref import ref

import numpy as np
import pytest

import lpn.prepare
from lpn.data import DataSet, Images, Sources
from lpn.images import load_images
from lpn.prepare import prepare


class Fixed(DataSet):
    """A data set of given images."""

    images: ClassVar[Images]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        """Return the images as the test set."""
        empty = np.zeros((0, 1, 4, 4), np.uint8)
        return "fixed", {"train": empty, "validation": empty, "test": self.images}


def write(folder: Path, images: Images) -> np.ndarray:
    """Return the test set that is written of images."""
    Fixed.images = images
    assert prepare(Fixed(), folder, Sources(folder)) == "fixed"
    return load_images(folder / "test.npy")


def test_images_keep_their_order(tmp_path: Path) -> None:
    def read(i: int) -> np.ndarray:
        time.sleep(0.01 * (i % 3))
        return np.full((1, 4, 4), i, np.uint8)

    images = write(tmp_path, [partial(read, i) for i in range(30)])
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(30))
    np.save(tmp_path / "same.npy", images)
    assert (tmp_path / "test.npy").read_bytes() == (tmp_path / "same.npy").read_bytes()


def test_few_images_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the disk is, only some images are read ahead."""
    made, alive = list[ref[np.ndarray]](), list[int]()

    def read(i: int) -> np.ndarray:
        image = np.full((1, 4, 4), i, np.uint8)
        made.append(ref(image))
        return image

    def write_slowly(*arrays: np.ndarray) -> None:
        time.sleep(0.002)
        alive.append(sum(image() is not None for image in made))

    monkeypatch.setattr("lpn.prepare._check", write_slowly)
    write(tmp_path, [partial(read, i) for i in range(100)])
    assert max(alive) <= lpn.prepare.WINDOW + 2  # the first one, whose shape all must have, and the one that is written


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 1, 4, 4)),  # float64
        np.zeros((2, 4, 4), np.uint8),
        [lambda: np.zeros((1, 4, 4), np.int16)],
        [lambda: np.zeros((4, 4), np.uint8)],
        [lambda: np.zeros((1, 4, 4), np.uint8), lambda: np.zeros((1, 4, 5), np.uint8)],
        [lambda: np.zeros((1, 4, 4), np.uint8), lambda: np.zeros((1, 4, 4), np.float32)],
    ],
)
def test_unfit_images_are_refused(tmp_path: Path, images: Images) -> None:
    with pytest.raises(ValueError, match="must read uint8 or float32 images"):
        write(tmp_path, images)
    assert not (tmp_path / "test.npy").exists()
