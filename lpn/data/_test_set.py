"""The base of data sets that only test."""

import itertools
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field, PositiveInt, field_validator

from lpn.data._base import DataSet, Images, Sources
from lpn.data._fetch import Origin
from lpn.data._images import image_files, pixel_digest, read_image
from lpn.errors import UserError


class EvaluationSet(DataSet):
    """A few published images, for tests only, ordered by size, then by name; uint8 (n, C, H, W).

    Attributes:
        origin: where they come from.
        grey: whether they are grey.
        digest: `pixel_digest` of the original images in the order of their names.
        groups: (height, width, how many) of the original images in their order.
    """

    origin: ClassVar[Origin]
    grey: ClassVar[bool]
    digest: ClassVar[str]
    groups: ClassVar[list[tuple[int, int, int | None]]]

    count: PositiveInt | None = Field(
        default=None, description="the number of the original images, or null to use what is there"
    )

    @field_validator("count")
    @classmethod
    def _of_the_original(cls, count: int | None) -> int | None:
        if count not in (None, len(cls.origin.files)):
            raise ValueError(
                f"{cls.origin.title} has {len(cls.origin.files)} images, not {count}; use that number, or null for the "
                "images that are there"
            )
        return count

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colours."""
        return 1 if self.grey else 3

    @property
    def same_everywhere(self) -> bool:
        """Yes, if the images must be the original ones."""
        return self.count is not None

    def sizes(self, split: str) -> list[tuple[int, int, int | None]] | None:
        """Return the sizes of the original images for `test`; None if any images are accepted."""
        if split != "test":
            return []
        return None if self.count is None else self.groups

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        """Read and check the images: see `DataSet.read`."""
        return self.origin.read(sources, self._read)

    def _read(self, place: Path) -> dict[str, Images]:
        images = [read_image(path, self.grey) for path in image_files(place)]
        digest = pixel_digest(images)
        if self.count is not None and (len(images) != self.count or digest != self.digest):
            raise UserError(
                f"{place} holds {len(images)} images, which are not the {self.count} of {self.origin.title} (the SHA-256 of "
                f"the pixels is {digest[:12]}...). Get them from {self.origin.people}, or set 'count' of this data set to "
                "null to use what is there."
            )
        images.sort(key=lambda image: image.shape)  # stable: then by name
        sizes = tuple(np.stack(list(group)) for _, group in itertools.groupby(images, lambda image: image.shape))
        none = np.zeros((0, *images[0].shape), np.uint8)
        return {"train": none, "validation": none, "test": sizes}
