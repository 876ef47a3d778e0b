"""Random crops whose values leave [0, 1]."""

import numpy as np
import torch
from torch import Tensor

from lpn.augmentations.flips import Flips


class Ranges(Flips):
    """Crops as of `flips`, at p .5 each with contrast changed by a factor of 1/2 to 2 and shifted by up to .5.

    If an LPN has seen nothing outside [0, 1], its regulariser may well prefer values there: without a box, algorithms drift
    away.
    """

    def __call__(self, image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
        """Return crops (crops, C, patch, patch), in [-1, 2]."""
        patches = super().__call__(image, patch, crops, draws)
        contrast = np.where(draws.random(crops) < 0.5, 2 ** draws.uniform(-1, 1, crops), 1.0)
        shift = np.where(draws.random(crops) < 0.5, draws.uniform(-0.5, 0.5, crops), 0.0)
        factor, offset = (torch.from_numpy(change).float().view(-1, 1, 1, 1) for change in (contrast, shift))
        return 0.5 + factor * (patches - 0.5) + offset
