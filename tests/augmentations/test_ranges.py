import numpy as np
import torch

from lpn.augmentations.ranges import Ranges


def test_contrast_and_brightness_change() -> None:
    image = (torch.arange(48.0) * 5 / 255).repeat(1, 48, 1)
    patches = torch.cat([Ranges()(image, 16, 8, np.random.default_rng(seed)) for seed in range(30)])
    # a linear ramp keeps being one, in a direction of its own
    steps = torch.cat([patches.diff(dim=axis).abs().flatten(1).amax(1)[:, None] for axis in (2, 3)], 1).amax(1)
    contrast = steps * 255 / 5
    assert contrast.min() > 0.49
    assert 1.5 < contrast.max() < 2.01
    assert 0.4 < ((contrast - 1).abs() < 1e-4).float().mean() < 0.6
    assert patches.min() < -0.1
    assert patches.max() > 1.1
    assert patches.min() >= -1
    assert patches.max() <= 2
