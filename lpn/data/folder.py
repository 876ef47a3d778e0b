"""Photographs of the user's."""

from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from lpn.data._base import SPLITS, DataSet, Images, Sources
from lpn.data._images import SUFFIXES, image_files, read_image
from lpn.errors import UserError
from lpn.settings import Folder


class FolderOfImages(DataSet):
    """Photographs of a folder with subfolders train, validation and test: uint8 (n, C, side, side).

    The largest centre square of each is reduced to the side. A subfolder may be missing: then that split is empty.
    """

    path: Folder = Field(description="the folder, with subfolders train, validation, test")
    side: PositiveInt = Field(default=256, description="side of the squares, in pixels; no photograph may be smaller")
    grey: bool = Field(default=False, description="whether images are grey, by the luma of ITU-R 601")

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colours."""
        return 1 if self.grey else 3

    def sizes(self, split: str) -> list[tuple[int, int, int | None]]:
        """Return the one size of all images; nothing if the folder is there and the subfolder is not."""
        if Path(self.path).is_dir() and not (Path(self.path) / split).is_dir():
            return []
        return [(self.side, self.side, None)]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        """List the photographs: see `DataSet.read`."""
        place = Path(self.path)
        found = [split for split in SPLITS if (place / split).is_dir()]
        if not found:
            raise UserError(
                f"{place} is missing or has no subfolder {', '.join(SPLITS[:-1])} or {SPLITS[-1]}. Place images "
                f"({', '.join(SUFFIXES)}) in subfolders of these names."
            )
        images: dict[str, Images] = {split: np.zeros((0, self.channels, self.side, self.side), np.uint8) for split in SPLITS}
        for split in found:
            images[split] = [partial(self._square, path) for path in image_files(place / split)]
        return str(place), images

    def _square(self, path: Path) -> np.ndarray:
        """Return the centre square of an image, reduced (C, side, side)."""
        from PIL import Image

        image = read_image(path, self.grey).transpose(1, 2, 0)
        side = min(image.shape[:2])
        if side < self.side:
            raise UserError(
                f"{path} is {image.shape[1]}x{image.shape[0]}; the sides must be at least {self.side}. Remove it."
            )
        top, left = ((n - side) // 2 for n in image.shape[:2])
        square = image[top : top + side, left : left + side]
        reduced = Image.fromarray(square[..., 0] if self.grey else square).resize(
            (self.side, self.side), Image.Resampling.LANCZOS
        )
        return np.atleast_3d(np.asarray(reduced)).transpose(2, 0, 1)
