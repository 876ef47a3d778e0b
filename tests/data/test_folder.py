"""Photographs of the user's."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.conftest import dataset, pixels, place, prepare_set
from lpn.errors import UserError
from lpn.images import load_images


def test_squares_are_reduced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = str(tmp_path / "own")
    place(tmp_path / "own", {"train/a.png": pixels(300, 256, 3), "validation/b.png": pixels(256, 256, 3)})
    tall = Image.fromarray(np.repeat(np.arange(512, dtype=np.uint8)[:, None] // 2, 256, 1)).convert("RGB")  # darker above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter: darker on the right
    (tmp_path / "own/test").mkdir()
    tall.save(tmp_path / "own/test/phone.jpg", exif=exif)
    assert prepare_set("folder", tmp_path / "out", tmp_path, path=own) == own
    np.testing.assert_array_equal(load_images(tmp_path / "out/train.npy")[0], pixels(300, 256, 3)[22:278].transpose(2, 0, 1))
    test = load_images(tmp_path / "out/test.npy").astype(float)
    assert test.shape == (1, 3, 256, 256)
    assert (np.diff(test[0, 0].mean(0)) <= 0).mean() > 0.9
    (tmp_path / "own/train/portrait.heic").write_bytes(b"")
    capsys.readouterr()
    prepare_set("folder", tmp_path / "again", tmp_path, path=own)
    assert "own/train also holds portrait.heic: not used, only .png" in capsys.readouterr().out
    place(tmp_path / "own", {"train/small.png": pixels(300, 255, 3)})
    with pytest.raises(UserError, match=r"small.png is 255x300; the sides must be at least 256"):
        prepare_set("folder", tmp_path / "again", tmp_path, path=own)


def test_grey_images_of_another_side(tmp_path: Path) -> None:
    place(tmp_path / "own", {"test/a.png": pixels(20, 16, 3), "test/b.png": pixels(16, 16)})
    prepare_set("folder", tmp_path / "out", tmp_path, path=str(tmp_path / "own"), side=16, grey=True)
    test = load_images(tmp_path / "out/test.npy")
    assert test.shape == (2, 1, 16, 16)
    np.testing.assert_array_equal(test[1, 0], pixels(16, 16))
    for split in ("train", "validation"):
        assert np.load(tmp_path / f"out/{split}.npy").shape == (0, 1, 16, 16)


def test_missing_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"own is missing or has no subfolder train, validation or test"):
        prepare_set("folder", tmp_path / "out", tmp_path, path=str(tmp_path / "own"))
    (tmp_path / "own/test").mkdir(parents=True)
    with pytest.raises(UserError, match=r"own/test is missing or holds no image"):
        prepare_set("folder", tmp_path / "out", tmp_path, path=str(tmp_path / "own"))


def test_sizes(tmp_path: Path) -> None:
    images = dataset("folder", path=str(tmp_path / "own"), side=64)
    assert images.sizes("train") == [(64, 64, None)]  # not known: perhaps the folder is on another machine
    (tmp_path / "own/test").mkdir(parents=True)
    assert images.sizes("train") == []
    assert images.sizes("test") == [(64, 64, None)]
    assert (images.channels, dataset("folder", path="x", grey=True).channels) == (3, 1)
    assert not images.same_everywhere
