"""The base of data sets that only test."""

import itertools
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import field_validator

from lpn.data._base import Images, Sizes
from lpn.data._fetch import DownloadedSet
from lpn.data._images import image_files, pixel_digest, read_image
from lpn.errors import UserError


class EvaluationSet(DownloadedSet):
    """A few published images, for tests only, ordered by size, then by name; uint8 (n, C, H, W).

    The images are known by their pixels, so that their files may have any names.
    """

    originals: ClassVar[str]  # of each original image, in their order: the first 8 digits of its `pixel_digest`
    groups: ClassVar[tuple[tuple[int, int, int], ...]]  # height, width, how many of the original images in their order

    @field_validator("count")
    @classmethod
    def _of_the_original(cls, count: int | None) -> int | None:
        known = len(cls.files)
        if count not in (None, known):
            raise ValueError(f"{cls.title} has {known} images, not {count}; use that number, or null for what is there")
        return count

    def sizes(self, split: str) -> Sizes | None:
        if split != "test":
            return []
        return None if self.count is None else [*self.groups]

    def read_folder(self, place: Path) -> dict[str, Images]:
        images = {path.name: read_image(path, self.channels == 1) for path in sorted(image_files(place), key=_by_number)}
        if self.count is not None:
            images = self._originals(images, place)
        ordered = sorted(images.values(), key=lambda image: image.shape)  # stable: then by name
        sizes = tuple(np.stack(list(group)) for _, group in itertools.groupby(ordered, lambda image: image.shape))
        none = np.zeros((0, *ordered[0].shape), np.uint8)
        return {"train": none, "validation": none, "test": sizes}

    def _originals(self, images: dict[str, np.ndarray], place: Path) -> dict[str, np.ndarray]:
        """Return the original images, in their order. Raises UserError unless all are there."""
        originals = self.originals.split()
        names = {pixel_digest([image])[:8]: name for name, image in images.items()}
        others = [name for digest, name in names.items() if digest not in originals]
        if missing := len(set(originals) - names.keys()):
            raise UserError(
                f"{place} lacks {missing} of the {len(originals)} images of {self.title}, which are known by their pixels. "
                f"Other images there: {', '.join(others[:3]) or 'none'}. Get the original ones from {self.people}, or set "
                "'count' of this data set to null to use what is there."
            )
        if others:
            print(f"note: {place} also holds {', '.join(others)}: not used, no images of {self.title}.")
        return {names[digest]: images[names[digest]] for digest in originals}


def _by_number(path: Path) -> list[str | int]:
    """Return a key that sorts 2.png before 10.png."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]
