"""Crops of the photographs that scikit-image ships: they need no download."""

import itertools
from importlib.metadata import version
from pathlib import Path

import numpy as np

from lpn.data._base import DataSet, Images, Sizes, Sources

SIDE = 128
NAMES = {
    "train": ["astronaut", "ihc", "motorcycle_left", "motorcycle_right", "retina", "rocket"],
    "validation": ["chelsea"],
    "test": ["coffee"],
}
COUNTS = {"train": 690, "validation": 6, "test": 12}


class Photographs(DataSet):
    """Crops of the photographs that scikit-image ships: uint8 (n, 3, 128, 128).

    Those for training are few, so each gives at most 16 crops at full and 16 at half size, in every order of the colours,
    every other one as a negative.
    """

    channels = 3
    same_everywhere = True

    def sizes(self, split: str) -> Sizes:
        return [(SIDE, SIDE, COUNTS[split])]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        crops = [_crops(name, reduction) for name, reduction in itertools.product(NAMES["train"], (1, 2))]
        train = np.stack([crop for found in crops for crop in found[:: -(-len(found) // 16)]])
        orders = [train[:, list(order)] for order in itertools.permutations(range(3))]
        images: dict[str, Images] = {
            split: np.stack([crop for name in NAMES[split] for crop in _crops(name, 1)]) for split in ("validation", "test")
        }
        images["train"] = np.concatenate([255 - order if i % 2 else order for i, order in enumerate(orders)])
        return f"scikit-image {version('scikit-image')}", images


def _crops(name: str, reduction: int) -> list[np.ndarray]:
    """Return the crops (3, 128, 128) of a photograph, side by side, reduced by a whole factor."""
    import skimage
    from skimage import io as image_io

    place = Path(skimage.__file__).parent / "data"
    image = image_io.imread(next(place.glob(f"{name}.*")))[..., :3].transpose(2, 0, 1)
    height, width = (n // reduction for n in image.shape[1:])
    blocks = image[:, : height * reduction, : width * reduction].reshape(3, height, reduction, width, reduction)
    image = blocks.mean((2, 4)).round().astype(np.uint8)
    corners = [(SIDE * row, SIDE * column) for row, column in np.ndindex(height // SIDE, width // SIDE)]
    found = [image[:, top : top + SIDE, left : left + SIDE] for top, left in corners]
    return [crop for crop in found if crop.std() > 20]  # not the black rim of a picture
