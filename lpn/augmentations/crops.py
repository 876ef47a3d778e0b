"""Plain random crops."""

import numpy as np
import torch
from torch import Tensor

from lpn.augmentations._base import Augmentation


class Crops(Augmentation):
    """Random crops, as they are."""

    def __call__(self, image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
        height, width = image.shape[-2:]
        if patch > min(height, width):
            raise ValueError(f"patches of {patch}x{patch} don't fit into images of {height}x{width}")
        tops, lefts = draws.integers(height - patch + 1, size=crops), draws.integers(width - patch + 1, size=crops)
        corners = zip(tops, lefts, strict=True)
        return torch.stack([image[:, top : top + patch, left : left + patch] for top, left in corners])
