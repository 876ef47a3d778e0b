"""BSD68 from the files of BSDS500."""

from pathlib import Path

import numpy as np
import pytest

from data.conftest import dataset, pixels, place, prepare_set
from lpn.data import SPLITS
from lpn.data.bsd68 import NAMES, TESTS
from lpn.errors import UserError
from lpn.images import load_images


@pytest.fixture
def bsds(tmp_path: Path) -> Path:
    """A BSDS500 of one image for training, one of the official test, and two of val that BSD68 lacks."""
    image = pixels(321, 481)
    others = {"train/1.png": image, "test/2.png": image[::-1], "val/3.png": image, "val/4.png": image}
    tests = {f"val/{name}.png": np.full((321, 481), i, np.uint8) for i, name in enumerate(NAMES.split())}
    tests["val/351093.png"] = pixels(481, 321)
    return place(tmp_path / "raw/bsds500", others | tests).parent


def test_the_68_images_only_test(bsds: Path, tmp_path: Path) -> None:
    source = prepare_set("bsd68", tmp_path / "out", bsds, count=2)
    assert source == str(bsds / "bsds500")
    train, validation, test = (load_images(tmp_path / f"out/{split}.npy") for split in SPLITS)
    assert (train.shape, validation.shape, test.shape) == ((2, 1, 321, 481), (2, 1, 321, 481), (68, 1, 321, 481))
    np.testing.assert_array_equal(train[:, 0], [pixels(321, 481), pixels(321, 481)[::-1]])
    np.testing.assert_array_equal(validation[:, 0], [pixels(321, 481)] * 2)
    assert [image[0, 0, 0] for image in test[:-1]] == list(range(67))  # in the order of the names
    np.testing.assert_array_equal(test[-1, 0], np.rot90(pixels(481, 321)))


def test_all_must_be_there(bsds: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 2 training images of BSD68, not 400.*'count' .* to null"):
        prepare_set("bsd68", tmp_path / "out", bsds)
    for name in ("3", "4"):
        (bsds / f"bsds500/val/{name}.png").unlink()
    with pytest.raises(UserError, match="no images of val but the 68 of BSD68"):
        prepare_set("bsd68", tmp_path / "out", bsds, count=None)
    (bsds / "bsds500/val/3096.png").unlink()
    with pytest.raises(UserError, match="lacks 1 of the 68 images of BSD68, which BSDS500 has in val: 3096. Place"):
        prepare_set("bsd68", tmp_path / "out", bsds, count=None)


def test_sizes() -> None:
    sizes = [dataset("bsd68").sizes(split) for split in SPLITS]
    assert sizes == [[(321, 481, 400)], [(321, 481, None)], [(321, 481, TESTS)]]
    assert len(set(NAMES.split())) == TESTS == 68
    assert (dataset("bsd68").channels, dataset("bsd68", grey=False).channels) == (1, 3)
