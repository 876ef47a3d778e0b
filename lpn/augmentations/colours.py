"""Random crops with the colour channels in any order, at several scales."""

import numpy as np
import torch
from torch import Tensor

from lpn.augmentations.flips import Flips


class Colours(Flips):
    """Crops as of `flips`, of the image at full, half or third size, with its channels in any order.

    In most photographs the channels are alike, and JPEG files store colours at half the resolution. A denoiser that relies
    on either fails on sharp and saturated colours.
    """

    def __call__(self, image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
        reduction = min(1 + int(draws.integers(3)), min(image.shape[-2:]) // patch)  # to no less than a patch
        if reduction > 1:
            image = torch.nn.functional.avg_pool2d(image, reduction)
        return super().__call__(image[torch.from_numpy(draws.permutation(len(image)))], patch, crops, draws)
