"""BSDS500, the Berkeley segmentation data set, by its official splits."""

import re
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from lpn.data._base import SPLITS, DataSet, Images, Sources
from lpn.data._fetch import Origin, download
from lpn.data._images import check_count, image_files, read_image
from lpn.errors import UserError

FOLDERS = {"train": "train", "validation": "val", "test": "test"}
HEIGHT, WIDTH = 321, 481  # of the landscape images; the others are 481x321


class BSDS500(DataSet):
    """BSDS500: uint8 (n, C, 321, 481); portrait images are turned by a quarter.

    The folder `bsds500` of the data folder holds train, val and test, as BSDS500/data/images does in the official archive.
    """

    grey: bool = Field(default=False, description="whether images are grey, by the luma of ITU-R 601")
    count: PositiveInt | None = Field(default=200, description="the number of training images; null accepts what is there")

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colours."""
        return 1 if self.grey else 3

    @property
    def same_everywhere(self) -> bool:
        """Yes, if the training images must be complete."""
        return self.count is not None

    def sizes(self, split: str) -> list[tuple[int, int, int | None]]:
        """Return the one size of all images."""
        return [(HEIGHT, WIDTH, self.count if split == "train" else None)]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        """List the images and check their number: see `DataSet.read`."""
        return ORIGIN.read(sources, self._read)

    def _read(self, place: Path) -> dict[str, Images]:
        files = {split: image_files(place / FOLDERS[split]) for split in SPLITS}
        check_count("BSDS500", len(files["train"]), self.count, place / "train")
        return {split: [partial(_landscape, path, self.grey) for path in files[split]] for split in SPLITS}


def _landscape(path: Path, grey: bool) -> np.ndarray:
    """Return an image (C, 321, 481)."""
    image = read_image(path, grey)
    if sorted(image.shape[1:]) != [HEIGHT, WIDTH]:
        raise UserError(f"{path} is {image.shape[2]}x{image.shape[1]}; images of BSDS500 are 481x321 or 321x481.")
    return image if image.shape[1] < image.shape[2] else np.ascontiguousarray(np.rot90(image, axes=(1, 2)))


def _fetch_archive(url: str, folder: Path) -> None:
    """Download the archive and unpack its images into a folder, unless they are there."""
    if (folder / "complete").exists():
        return
    archive = download(url, folder)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:  # written by our own names: nothing that the archive names is a path
                match = re.fullmatch(r"(?:.*/)?BSDS500/data/images/(train|val|test)/(\w+\.jpg)", member.name)
                content = tar.extractfile(member) if match and member.isfile() else None
                if match and content:
                    target = folder / match[1] / match[2]
                    target.parent.mkdir(exist_ok=True)
                    target.write_bytes(content.read())
    finally:
        archive.unlink()
    (folder / "complete").touch()


ORIGIN = Origin(
    title="BSDS500",
    people="the Berkeley computer vision group (BSR_bsds500.tgz; its folder BSDS500/data/images with train, val, test)",
    folder="bsds500",
    files=("BSR_bsds500.tgz",),
    official="http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR",
    fetch=_fetch_archive,
)
