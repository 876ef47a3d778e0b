"""Data sets that only test: set11, McMaster, Kodak."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from data.conftest import dataset, pixels, place, prepare_set
from lpn.data._test_set import EvaluationSet
from lpn.data.kodak import Kodak
from lpn.data.mcmaster import McMaster
from lpn.data.set11 import NAMES, Set11
from lpn.errors import UserError
from lpn.images import read_images
from lpn.settings import component

ALL = {"set11": Set11, "mcmaster": McMaster, "kodak": Kodak}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No official sources."""
    for known in ALL.values():
        monkeypatch.setattr(known, "official", None)


def test_images_of_two_sizes(tmp_path: Path) -> None:
    images = {f"set11/{name}.png": pixels(12, 12, seed=i) if i % 2 else pixels(8, 8, seed=i) for i, name in enumerate(NAMES)}
    prepare_set("set11", tmp_path / "out", place(tmp_path / "raw", images), count=None)
    path = tmp_path / "out/test.npy"
    assert np.load(tmp_path / "out/train.npy").shape[0] == np.load(tmp_path / "out/validation.npy").shape[0] == 0
    small, large = read_images(path, 0, 6), read_images(path, 6, 5)
    assert small.shape == (6, 1, 8, 8)
    np.testing.assert_array_equal(small[1, 0], images["set11/cameraman.png"])
    np.testing.assert_array_equal(large[4, 0], images["set11/montage.png"])


@pytest.mark.parametrize(("name", "count", "pattern"), [("mcmaster", 18, "{:02d}.tif"), ("kodak", 24, "kodim{:02d}.png")])
def test_colour_images(name: str, count: int, pattern: str, tmp_path: Path) -> None:
    images = {f"{name}/{pattern.format(i + 1)}": pixels(4, 6, 3, seed=i) for i in range(count)}
    place(tmp_path, images)
    (tmp_path / name / f"._{pattern.format(1)}").write_bytes(b"what macOS keeps beside a file")
    prepare_set(name, tmp_path / "out", tmp_path, count=None)
    test = read_images(tmp_path / "out/test.npy", 0, count)
    np.testing.assert_array_equal(test[-1], images[f"{name}/{pattern.format(count)}"].transpose(2, 0, 1))
    with pytest.raises(UserError, match=rf"lacks {count} of the {count} images of .*'count' of this data set to null"):
        prepare_set(name, tmp_path / "out", tmp_path)


def test_the_original_images_are_known_by_their_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the names of a copy, its images have the order of the original ones; others are not used."""
    images = [pixels(2, 3, 3, seed=i) for i in range(3)]
    shape = np.array([3, 2, 3], "<i8").tobytes()
    digests = [hashlib.sha256(shape + image.transpose(2, 0, 1).tobytes()).hexdigest()[:8] for image in images]
    monkeypatch.setattr(Kodak, "originals", " ".join(digests))
    monkeypatch.setattr(Kodak, "files", ("0.png", "1.png", "2.png"))
    place(
        tmp_path,
        {"kodak/10.tif": images[0], "kodak/9.png": images[1], "kodak/B.bmp": images[2], "kodak/more.png": images[0] ^ 1},
    )
    prepare_set("kodak", tmp_path / "out", tmp_path, count=3)
    test = read_images(tmp_path / "out/test.npy", 0, 3)
    np.testing.assert_array_equal(test, np.stack(images).transpose(0, 3, 1, 2))
    place(tmp_path, {"kodak/9.png": images[1] ^ 1})
    with pytest.raises(UserError, match=r"kodak lacks 1 of the 3 images of Kodak, .*Other images there: 9\.png, more\.png"):
        prepare_set("kodak", tmp_path / "out", tmp_path, count=3)


def test_images_of_one_size_are_ordered_by_number(tmp_path: Path) -> None:
    place(tmp_path, {f"mcmaster/{i}.tif": pixels(2, 3, 3, seed=i) for i in range(1, 19)})
    prepare_set("mcmaster", tmp_path / "out", tmp_path, count=None)
    test = read_images(tmp_path / "out/test.npy", 0, 18)
    np.testing.assert_array_equal(test[9], pixels(2, 3, 3, seed=10).transpose(2, 0, 1))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ALL)
def test_missing_images_say_what_to_place(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"could not be downloaded. Get it from .* and place it at .*{name}"):
        prepare_set(name, tmp_path / "out", tmp_path / "elsewhere")


def test_own_folder_that_is_not_there_is_not_replaced(tmp_path: Path) -> None:
    """A link to a disk that is not mounted."""
    (tmp_path / "kodak").symlink_to(tmp_path / "disk")
    with pytest.raises(UserError, match=r"kodak is missing or holds no image"):
        prepare_set("kodak", tmp_path / "out", tmp_path)


def test_images_of_an_official_source(server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror without the files and one with a damaged file are passed over; nothing is downloaded twice."""
    url, folder = server
    images = {f"kodim{i:02}.png": pixels(4, 6, 3, seed=i) for i in range(1, 25)}
    for source in ("damaged/kodak", "official"):
        place(folder / source, images)
    (folder / "damaged/kodak/kodim07.png").write_bytes(b"no image")
    monkeypatch.setattr(Kodak, "official", f"{url}official")
    mirrors = [f"{url}empty", f"{url}damaged"]
    assert prepare_set("kodak", tmp_path / "out", tmp_path / "own", mirrors, count=None) == f"{url}official"
    first = images["kodim01.png"].transpose(2, 0, 1)
    np.testing.assert_array_equal(read_images(tmp_path / "out/test.npy", 0, 1)[0], first)
    shutil.rmtree(folder / "official")
    prepare_set("kodak", tmp_path / "again", tmp_path / "own", count=None)
    np.testing.assert_array_equal(read_images(tmp_path / "again/test.npy", 0, 1)[0], first)


def test_another_number_than_that_of_the_originals() -> None:
    with pytest.raises(ValidationError, match="Kodak has 24 images, not 20; use that number, or null"):
        dataset("kodak", count=20)


@pytest.mark.parametrize("name", ALL)
def test_sizes(name: str) -> None:
    known = dataset(name)
    assert isinstance(known, EvaluationSet)
    sizes = known.sizes("test")
    assert sizes is not None
    assert sum(number or 0 for _, _, number in sizes) == known.count == len(known.files)
    assert known.sizes("train") == known.sizes("validation") == []
    assert component("dataset", name) is ALL[name]
    anything = dataset(name, count=None)
    assert anything.sizes("test") is None
    assert anything.sizes("train") == []
    assert (known.same_everywhere, anything.same_everywhere) == (True, False)
