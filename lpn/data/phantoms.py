"""Random ellipses, computed: they need no download."""

import numpy as np

from lpn.data._base import DataSet, Images, Sizes, Sources
from lpn.seeds import numpy_generator

SIDE, FINE = 128, 512  # drawn on the fine grid, then averaged: smooth edges
COUNTS = {"train": 64, "validation": 4, "test": 4}


class Phantoms(DataSet):
    """Random ellipses in a body ellipse, after Adler and Oektem 2017: float32 (n, 1, 128, 128) in [0, 1]."""

    channels = 1
    same_everywhere = True

    def sizes(self, split: str) -> Sizes:
        return [(SIDE, SIDE, COUNTS[split])]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        return "computed", {split: np.stack([_phantom(split, i) for i in range(n)]) for split, n in COUNTS.items()}


def _phantom(split: str, i: int) -> np.ndarray:
    """Return phantom number `i` of a split (1, 128, 128)."""
    from skimage.draw import ellipse

    generator, size = numpy_generator(0, "phantoms", split, i), FINE
    image = np.zeros((size, size), np.float32)
    body = ellipse(size / 2, size / 2, *generator.uniform(0.33, 0.47, 2) * size, shape=image.shape)
    image[body] = generator.uniform(0.35, 0.55)
    for _ in range(generator.integers(6, 14)):
        centre = size / 2 + generator.uniform(-0.3, 0.3, 2) * size
        axes = generator.uniform(0.02, 0.15, 2) * size
        part = np.zeros(image.shape, bool)
        part[ellipse(*centre, *axes, shape=image.shape, rotation=generator.uniform(-np.pi, np.pi))] = True
        image[part & (image > 0)] += generator.uniform(-0.3, 0.3)
    step = FINE // SIDE
    return image.clip(0, 1).reshape(SIDE, step, SIDE, step).mean((1, 3))[None]
