"""What all data sets share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import PositiveInt

from lpn.errors import UserError
from lpn.settings import Component

if TYPE_CHECKING:
    import torch

    from lpn.training.shard import Shard

SPLITS = ("train", "validation", "test")
# images of one split: an array (n, C, H, W), arrays of several sizes, or functions that read one image (C, H, W) each
Images = np.ndarray | tuple[np.ndarray, ...] | list[Callable[[], np.ndarray]]
Sizes = list[tuple[int, int, int | None]]  # height, width, how many (None if not known)


@dataclass(frozen=True)
class Sources:
    """Where raw data come from."""

    folder: Path  # the user's data folder, which is only read
    mirrors: Sequence[str] = ()  # URLs or folders that hold the official files, tried before the official sources


class DataSet(Component):
    """A data set with its settings. Nothing is trained or tuned on `test`.

    A data set of images has `channels`, `sizes` and `read`; one of samples that are drawn has `sample_shape` and `batches`.
    These attributes may be properties, if they depend on the settings.
    """

    kind: ClassVar[str] = "dataset"
    channels: ClassVar[int | None]  # of an image; None if samples are no images
    prepared: ClassVar[bool] = True  # whether `read` gives arrays to be written; samples that are drawn need none
    # whether the arrays are the same from every source of the raw data: checked, in a package, or computed
    same_everywhere: ClassVar[bool] = False
    sample_shape: ClassVar[tuple[int, ...]]  # of one drawn sample, without the batch axis

    def sizes(self, split: str) -> Sizes | None:
        """Return the sizes of the images of a split in their order: (height, width, how many or None if not known).

        The list is empty if the split is empty; None means that the sizes are not known before the images are read.
        """
        raise NotImplementedError

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        """Return where the raw data came from, and uint8 or float32 images in [0, 1] for each of `SPLITS`.

        An empty split is an array (0, C, H, W). Raises UserError, naming the file and the remedy, for missing, damaged or
        unfit data.
        """
        raise NotImplementedError

    def batches(self, batch_size: int, seed: int, shard: "Shard | None" = None) -> "Callable[[int], torch.Tensor]":
        """Return step -> drawn samples (batch_size, *sample_shape), or a shard of them, on the CPU; the same every time."""
        raise NotImplementedError


class CountedSet(DataSet):
    """A data set of official files, which must be complete unless `count` is None."""

    title: ClassVar[str]  # the name in messages
    count: PositiveInt | None

    @property
    def same_everywhere(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the files must be complete."""
        return self.count is not None

    def check_count(self, found: int, place: Path) -> None:
        """Raise UserError if `place` has another number of training images than `count`, unless that is None."""
        if self.count not in (None, found):
            raise UserError(
                f"{place} has {found} training images of {self.title}, not {self.count}. Place the missing ones, or set "
                "'count' of this data set to null to use what is there."
            )
