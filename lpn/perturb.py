"""The three ways of corrupting images whose learned prior is compared (LPN paper, section 5 and figures 3 and 7)."""

from collections.abc import Callable

import numpy as np

from lpn.seeds import numpy_generator


def gaussian(images: np.ndarray, level: float, seed: int) -> np.ndarray:
    """Return clip(x + level N(0, I), 0, 1) for images (n, C, H, W) in [0, 1].

    The same noise, scaled, is used at every level.
    """
    noise = numpy_generator(seed, "perturb").standard_normal(images.shape)
    return np.clip(images + level * noise, 0, 1)


def blur(images: np.ndarray, level: float, seed: int) -> np.ndarray:
    """Return images (n, C, H, W) filtered by a Gaussian of standard deviation `level` pixels; the seed is not used."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(images, (0, 0, level, level))


def convex(images: np.ndarray, level: float, seed: int) -> np.ndarray:
    """Return (1 - level) x_i + level x_{n-1-i} for images (n, C, H, W); the seed is not used."""
    return (1 - level) * images + level * images[::-1]


PERTURBATIONS: dict[str, Callable[[np.ndarray, float, int], np.ndarray]] = {
    "gaussian": gaussian,
    "blur": blur,
    "convex": convex,
}
