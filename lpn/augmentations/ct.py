"""The LPN paper's augmentation of CT slices."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lpn.augmentations.crops import Crops


class CT(Crops):
    """The augmentation of CT slices of the LPN paper (its section E), then crops.

    Flip p .5; p .8 rotation up to 180 degrees and scale .9 to 1.1; p .2 perspective of distortion .5; crop; p .5 brightness
    and contrast by factors in [.5, 1.5].
    """

    def __call__(self, image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
        from torchvision.transforms import v2
        from torchvision.transforms.v2 import functional as T

        height, width = image.shape[-2:]
        if draws.random() < 0.5:
            image = image.flip(-1)
        if draws.random() < 0.8:
            angle, scale = draws.uniform(-180, 180), draws.uniform(0.9, 1.1)
            image = T.affine(image, angle, [0, 0], scale, [0.0, 0.0], interpolation=v2.InterpolationMode.NEAREST)
        if draws.random() < 0.2:
            corners = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
            inward = [[int(draws.integers(side // 4 + 1)) for side in (width, height)] for _ in corners]
            pairs = zip(corners, inward, strict=True)
            moved = [[x + dx if x == 0 else x - dx, y + dy if y == 0 else y - dy] for (x, y), (dx, dy) in pairs]
            image = T.perspective(image, corners, moved)
        return torch.stack([_jitter(p, draws) for p in super().__call__(image, patch, crops, draws)])


def _jitter(patch: Tensor, draws: np.random.Generator) -> Tensor:
    """Return a patch, at p .5 with brightness and contrast changed in random order."""
    from torchvision.transforms.v2 import functional as T

    if draws.random() >= 0.5:
        return patch
    changes: list[Callable[[Tensor, float], Tensor]] = [T.adjust_brightness, T.adjust_contrast]
    for i in draws.permutation(2):
        patch = changes[i](patch, draws.uniform(0.5, 1.5))
    return patch
