"""Plain random crops."""

import numpy as np
from torch import Tensor

from lpn.augmentations._base import Augmentation
from lpn.augmentations._crops import random_crops


class Crops(Augmentation):
    """Random crops, as they are."""

    def __call__(self, image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
        """Return random crops (crops, C, patch, patch) of an image (C, H, W)."""
        return random_crops(image, patch, crops, draws)
