"""Photographs of the user's."""

from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from lpn.data._base import SPLITS, DataSet, Images, Sizes, Sources
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
    def channels(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """1 for grey images, 3 for colour."""
        return 1 if self.grey else 3

    def sizes(self, split: str) -> Sizes:
        place = Path(self.path)  # perhaps on another machine
        return [] if place.is_dir() and not (place / split).is_dir() else [(self.side, self.side, None)]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        place = Path(self.path)
        files = {split: image_files(place / split) for split in SPLITS if (place / split).is_dir()}
        if not files:
            raise UserError(
                f"{place} is missing or has no subfolder {', '.join(SPLITS[:-1])} or {SPLITS[-1]}. Place images "
                f"({', '.join(SUFFIXES)}) in subfolders of these names."
            )
        images: dict[str, Images] = {split: np.zeros((0, self.channels, self.side, self.side), np.uint8) for split in SPLITS}
        return str(place), images | {split: [partial(self._square, path) for path in files[split]] for split in files}

    def _square(self, path: Path) -> np.ndarray:
        """Return the centre square of an image, reduced (C, side, side)."""
        from PIL import Image

        image = read_image(path, self.grey)
        height, width = image.shape[1:]
        side = min(height, width)
        if side < self.side:
            raise UserError(f"{path} is {width}x{height}; the sides must be at least {self.side}. Remove it.")
        top, left = (height - side) // 2, (width - side) // 2
        square = image[:, top : top + side, left : left + side].transpose(1, 2, 0)
        reduced = Image.fromarray(square[..., 0] if self.grey else square).resize([self.side] * 2, Image.Resampling.LANCZOS)
        return np.atleast_3d(np.asarray(reduced)).transpose(2, 0, 1)
