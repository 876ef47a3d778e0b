import numpy as np
import torch

from lpn.augmentations.flips import Flips


def test_all_eight_moves_occur() -> None:
    image = torch.arange(4.0).view(1, 2, 2)
    patches = Flips()(image, 2, 200, np.random.default_rng(0))
    moves = [torch.rot90(flipped, turns, (-2, -1)) for flipped in (image, image.flip(-1)) for turns in range(4)]
    counts = [int((patches == move).flatten(1).all(1).sum()) for move in moves]
    assert sum(counts) == 200
    assert min(counts) > 10
