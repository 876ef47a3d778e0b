"""BSDS500, the Berkeley segmentation data set, by its official splits."""

import re
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from lpn.data._base import Images, Sizes
from lpn.data._fetch import DownloadedSet
from lpn.data._images import image_files, read_image
from lpn.errors import UserError

FOLDERS = {"train": "train", "validation": "val", "test": "test"}
HEIGHT, WIDTH = 321, 481  # of the landscape images; the others are 481x321


class BSDS500(DownloadedSet):
    """BSDS500: uint8 (n, C, 321, 481); portrait images are turned by a quarter.

    The folder `bsds500` of the data folder holds train, val and test, or the official archive unpacked, which has them in
    BSDS500/data/images.
    """

    title = "BSDS500"
    people = "the Berkeley computer vision group (BSR_bsds500.tgz; its folder BSDS500/data/images with train, val, test)"
    files = ("BSR_bsds500.tgz",)
    official = "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR"
    count: PositiveInt | None = Field(default=200, description="the number of training images; null accepts what is there")
    grey: bool = Field(default=False, description="whether images are grey, by the luma of ITU-R 601")

    @property
    def channels(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """1 for grey images, 3 for colour."""
        return 1 if self.grey else 3

    def sizes(self, split: str) -> Sizes:
        return [(HEIGHT, WIDTH, self.count if split == "train" else None)]

    def read_folder(self, place: Path) -> dict[str, Images]:
        copies = [place, *sorted(place.rglob("images"))]  # BSR/BSDS500/data/images as the archive unpacks, or BSDS500/images
        place = next((copy for copy in copies if (copy / "train").is_dir()), place)
        files = self.split({split: image_files(place / folder) for split, folder in FOLDERS.items()}, place)
        return {split: [partial(_landscape, path, self.grey) for path in files[split]] for split in files}

    def split(self, files: dict[str, list[Path]], place: Path) -> dict[str, list[Path]]:
        """Return the images of each split, from those of the official splits in the folder `place`.

        Raises UserError unless all are there.
        """
        self.check_count(len(files["train"]), place / "train")
        return files

    def fetch(self, url: str, folder: Path) -> None:
        """Download the archive and unpack its images into a folder."""
        super().fetch(url, folder)
        archive = folder / self.files[0]
        try:
            with tarfile.open(archive) as tar:
                for member in tar:  # written by our own names: nothing that the archive names is a path
                    match = re.fullmatch(r"(?:.*/)?BSDS500/data/images/(train|val|test)/(\w+\.jpg)", member.name)
                    if match and member.isfile() and (content := tar.extractfile(member)):
                        target = folder / match[1] / match[2]
                        target.parent.mkdir(exist_ok=True)
                        target.write_bytes(content.read())
        finally:
            archive.unlink()


def _landscape(path: Path, grey: bool) -> np.ndarray:
    """Return an image (C, 321, 481)."""
    image = read_image(path, grey)
    if sorted(image.shape[1:]) != [HEIGHT, WIDTH]:
        raise UserError(f"{path} is {image.shape[2]}x{image.shape[1]}; images of BSDS500 are 481x321 or 321x481.")
    return image if image.shape[1] < image.shape[2] else np.rot90(image, axes=(1, 2))
