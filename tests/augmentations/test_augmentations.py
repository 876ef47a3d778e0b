"""All augmentations: patches have the right shape, and depend on nothing but the generator."""

import numpy as np
import pytest
import torch

from lpn.augmentations import Augmentation
from lpn.settings import component, names


@pytest.mark.parametrize("name", names("augment"))
def test_patches(name: str) -> None:
    augment = component("augment", name)()
    assert isinstance(augment, Augmentation)
    assert augment.name == name
    image = torch.rand(1, 40, 33, generator=torch.Generator().manual_seed(0))
    before = image.clone()
    first, again, other = (augment(image, 16, 5, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.shape == (5, 1, 16, 16)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(image, before)
    with pytest.raises(ValueError, match="patches of 34x34 don't fit into images of 40x33"):
        augment(image, 34, 1, np.random.default_rng(0))


def test_there_are_no_others() -> None:
    assert names("augment") == ["colours", "crops", "ct", "flips", "ranges"]
