import numpy as np
import torch

from lpn.augmentations.colours import Colours

IMAGE = torch.from_numpy(np.arange(48, dtype=np.float32) + np.array([[[0]], [[60]], [[120]]], np.float32)).repeat(1, 48, 1)


def test_order_and_scale_change() -> None:
    patches = [Colours()(IMAGE, 16, 1, np.random.default_rng(seed))[0] for seed in range(60)]
    assert {float((p[0, 1, 1] - p[0, 0, 0]).abs().round()) for p in patches} == {1, 2, 3}  # full, half and third size
    assert len({tuple(p[:, 0, 0].argsort().tolist()) for p in patches}) == 6
    for p in patches:
        torch.testing.assert_close(p.sort(0).values.diff(dim=0), torch.full((2, 16, 16), 60.0))


def test_images_stay_as_large_as_a_patch() -> None:
    assert all(Colours()(IMAGE, 48, 1, np.random.default_rng(seed)).shape == (1, 3, 48, 48) for seed in range(5))
