"""Writing of data sets: bounded memory, and what a plug-in may do wrong."""

import time
from functools import partial
from pathlib import Path
from typing import ClassVar

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


def test_few_images_are_in_memory() -> None:
    """However slow the disk is, only some images are read ahead."""
    started = []
    for number, _ in enumerate(lpn.prepare._decoded([partial(started.append, i) for i in range(100)])):  # type: ignore[arg-type]
        time.sleep(0.002)
        assert len(started) - number <= lpn.prepare.WINDOW
    assert len(started) == 100


def test_files_of_killed_jobs_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".test.npy.abc123.npy").write_bytes(b"gigabytes")
    write(tmp_path, np.zeros((1, 1, 4, 4), np.uint8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.npy", "train.npy", "validation.npy"]


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
