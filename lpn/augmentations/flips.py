"""Random crops, flipped and turned."""

import numpy as np
from torch import Tensor

from lpn.augmentations._base import Augmentation
from lpn.augmentations._crops import flipped_crops


class Flips(Augmentation):
    """Random crops, each flipped and turned by quarter turns at random."""

    def __call__(self, image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
        """Return flipped and turned crops (crops, C, patch, patch) of an image (C, H, W)."""
        return flipped_crops(image, patch, crops, draws)
