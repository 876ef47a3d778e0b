"""What all data sets share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lpn.settings import Component

if TYPE_CHECKING:
    import torch

    from lpn.training.shard import Shard

SPLITS = ("train", "validation", "test")
# images of one split: an array (n, C, H, W), arrays of several sizes, or functions that read one image (C, H, W) each
Images = np.ndarray | tuple[np.ndarray, ...] | list[Callable[[], np.ndarray]]


@dataclass(frozen=True)
class Sources:
    """Where raw data come from.

    Attributes:
        folder: the user's data folder, which is only read.
        mirrors: URLs or folders that hold the official files, tried before the official sources.
    """

    folder: Path
    mirrors: list[str] = field(default_factory=list)


class DataSet(Component):
    """A data set with its settings. Nothing is trained or tuned on `test`.

    A data set of images has `channels`, `sizes` and `read`; one of samples that are drawn has `sample_shape` and `batches`.

    Attributes:
        prepared: whether `read` gives arrays to be written; samples that are drawn need none.
    """

    kind: ClassVar[str] = "dataset"
    prepared: ClassVar[bool] = True

    @property
    def channels(self) -> int | None:
        """Number of channels of an image; None if samples are no images."""
        raise NotImplementedError

    @property
    def same_everywhere(self) -> bool:
        """Whether the arrays are the same from every source of the raw data: checked, in a package, or computed."""
        return False

    def sizes(self, split: str) -> list[tuple[int, int, int | None]] | None:
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

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one drawn sample without the batch axis."""
        raise NotImplementedError

    def batches(
        self, batch_size: int, seed: int, device: "torch.device | str" = "cpu", shard: "Shard | None" = None
    ) -> "Callable[[int], torch.Tensor]":
        """Return step -> drawn samples (batch_size, *sample_shape), or a shard of them; the same for a step every time.

        `shard` None means all of them.
        """
        raise NotImplementedError
