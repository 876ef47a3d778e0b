import numpy as np
import torch

from lpn.augmentations.ct import CT


def test_slices_are_moved_and_jittered() -> None:
    image = torch.full((1, 40, 40), 0.4)
    patches = torch.cat([CT()(image, 8, 1, np.random.default_rng(seed)) for seed in range(200)])
    assert patches.min() >= 0
    assert patches.max() <= 1
    centres = patches[:, 0, 4, 4]
    unchanged = ((centres - 0.4).abs() < 1e-4).float().mean()
    assert 0.4 < unchanged < 0.6  # brightness and contrast change at p .5; some patches see the black outside
    black = (patches == 0).flatten(1).any(1).float().mean()
    assert 0.1 < black < 0.6  # what rotation and perspective leave empty
