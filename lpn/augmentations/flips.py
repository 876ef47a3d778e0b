"""Random crops, flipped and turned."""

import numpy as np
import torch
from torch import Tensor

from lpn.augmentations.crops import Crops


class Flips(Crops):
    """Random crops, each flipped and turned by quarter turns at random."""

    def __call__(self, image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
        patches = super().__call__(image, patch, crops, draws)
        moves = zip(patches, draws.integers(4, size=crops), draws.integers(2, size=crops), strict=True)
        return torch.stack([torch.rot90(p.flip(-1) if flip else p, int(turns), (-2, -1)) for p, turns, flip in moves])
