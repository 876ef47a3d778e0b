"""Random crops, which all augmentations end in."""

import numpy as np
import torch
from torch import Tensor


def random_crops(image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
    """Return random crops (crops, C, patch, patch) of an image (C, H, W). Raises ValueError if they don't fit into it."""
    height, width = image.shape[-2:]
    if patch > min(height, width):
        raise ValueError(f"patches of {patch}x{patch} don't fit into images of {height}x{width}")
    corners = zip(draws.integers(height - patch + 1, size=crops), draws.integers(width - patch + 1, size=crops), strict=True)
    return torch.stack([image[:, top : top + patch, left : left + patch] for top, left in corners])


def flipped_crops(image: Tensor, patch: int, crops: int, draws: np.random.Generator) -> Tensor:
    """Return random crops, each flipped and turned by quarter turns at random."""
    patches = random_crops(image, patch, crops, draws)
    moves = zip(patches, draws.integers(4, size=crops), draws.integers(2, size=crops), strict=True)
    return torch.stack([torch.rot90(p.flip(-1) if flip else p, int(turns), (-2, -1)) for p, turns, flip in moves])
