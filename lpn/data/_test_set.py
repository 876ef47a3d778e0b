"""The base of data sets that only test."""

import itertools
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import field_validator

from lpn.data._base import Images, Sizes
from lpn.data._fetch import DownloadedSet
from lpn.data._images import image_files, pixel_digest, read_image
from lpn.errors import UserError


class EvaluationSet(DownloadedSet):
    """A few published images, for tests only, ordered by size, then by name; uint8 (n, C, H, W)."""

    digest: ClassVar[str]  # `pixel_digest` of the original images in the order of their names
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
        images = [read_image(path, grey=self.channels == 1) for path in image_files(place)]
        digest = pixel_digest(images)
        if self.count is not None and (len(images) != self.count or digest != self.digest):
            raise UserError(
                f"{place} holds {len(images)} images, which are not the {self.count} of {self.title} (the SHA-256 of the "
                f"pixels is {digest[:12]}...). Get them from {self.people}, or set 'count' of this data set to "
                "null to use what is there."
            )
        images.sort(key=lambda image: image.shape)  # stable: then by name
        sizes = tuple(np.stack(list(group)) for _, group in itertools.groupby(images, lambda image: image.shape))
        none = np.zeros((0, *images[0].shape), np.uint8)
        return {"train": none, "validation": none, "test": sizes}
