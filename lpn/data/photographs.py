"""Crops of the photographs that scikit-image ships: they need no download."""

import itertools
from importlib.metadata import version
from pathlib import Path

import numpy as np

from lpn.data._base import DataSet, Images, Sources

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

    @property
    def channels(self) -> int:
        """3: images have colours."""
        return 3

    @property
    def same_everywhere(self) -> bool:
        """Yes: scikit-image brings them."""
        return True

    def sizes(self, split: str) -> list[tuple[int, int, int | None]]:
        """Return the one size of all crops, and their number."""
        return [(SIDE, SIDE, COUNTS[split])]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        """Cut out the crops: see `DataSet.read`."""
        train = []
        for name, reduction in itertools.product(NAMES["train"], (1, 2)):
            found = _crops(name, reduction)
            train += found[:: -(-len(found) // 16)]
        orders = [np.stack(train)[:, list(order)] for order in itertools.permutations(range(3))]
        arrays: dict[str, Images] = {
            "train": np.concatenate([255 - order if i % 2 else order for i, order in enumerate(orders)])
        }
        for split in ("validation", "test"):
            arrays[split] = np.stack([crop for name in NAMES[split] for crop in _crops(name, 1)])
        return f"scikit-image {version('scikit-image')}", arrays


def _crops(name: str, reduction: int) -> list[np.ndarray]:
    """Return the crops (3, 128, 128) of a photograph, side by side, reduced by a whole factor."""
    import skimage
    from skimage import io as image_io

    place = Path(skimage.__file__).parent / "data"
    image = image_io.imread(next(place.glob(f"{name}.*")))[..., :3].transpose(2, 0, 1)
    height, width = (n // reduction for n in image.shape[1:])
    blocks = image[:, : height * reduction, : width * reduction].reshape(3, height, reduction, width, reduction)
    image = blocks.mean((2, 4)).round().astype(np.uint8)
    found = [
        image[:, SIDE * r : SIDE * (r + 1), SIDE * c : SIDE * (c + 1)] for r, c in np.ndindex(height // SIDE, width // SIDE)
    ]
    return [crop for crop in found if crop.std() > 20]  # not the black rim of a picture
