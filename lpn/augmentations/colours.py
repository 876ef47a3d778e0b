"""Random crops with the colour channels in any order, at several scales."""

import numpy as np
import torch
from torch import Tensor

from lpn.augmentations._base import Augmentation
from lpn.augmentations._crops import flipped_crops


class Colours(Augmentation):
    """Crops as of `flips`, of the image at full, half or third size, with its channels in any order.

    In most photographs the channels are alike, and JPEG files store colours at half the resolution. A denoiser that relies
    on either fails on sharp and saturated colours.
    """

    def __call__(self, image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
        """Return crops (crops, C, patch, patch) of an image (C, H, W), which is not reduced to less than a patch."""
        reduction = min(1 + int(draws.integers(3)), min(image.shape[-2:]) // patch)
        if reduction > 1:
            image = torch.nn.functional.avg_pool2d(image, reduction)
        return flipped_crops(image[torch.from_numpy(draws.permutation(len(image)))], patch, crops, draws)
