"""What all augmentations of training images share."""

from typing import ClassVar

import numpy as np
from torch import Tensor

from lpn.settings import Component


class Augmentation(Component):
    """An augmentation with its settings: from one training image it makes random patches."""

    kind: ClassVar[str] = "augment"

    def __call__(self, image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
        """Return patches (crops, C, patch, patch) of an image (C, H, W) in [0, 1]; all that is random comes from `draws`.

        Raises ValueError if patches don't fit into the image.
        """
        raise NotImplementedError
