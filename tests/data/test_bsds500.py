import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.conftest import dataset, pixels, place, prepare_set
from lpn.data import SPLITS, Sources
from lpn.data.bsds500 import BSDS500
from lpn.errors import UserError
from lpn.images import load_images


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No official source."""
    monkeypatch.setattr(BSDS500, "official", None)


@pytest.fixture
def bsds(tmp_path: Path) -> Path:
    """A BSDS500 of two training images, one of them portrait, and one image of each other split."""
    names = ["train/a.png", "train/b.png", "val/c.png", "test/d.png"]
    shapes = [(321, 481, 3), (481, 321, 3), (321, 481, 3), (321, 481, 3)]
    images = {name: pixels(*shape, seed=i) for i, (name, shape) in enumerate(zip(names, shapes, strict=True))}
    return place(tmp_path / "raw/bsds500", images).parent


def test_portraits_are_turned(bsds: Path, tmp_path: Path) -> None:
    source = prepare_set("bsds500", tmp_path / "out", bsds, count=2)
    assert source == str(bsds / "bsds500")
    train = load_images(tmp_path / "out/train.npy")
    assert train.shape == (2, 3, 321, 481)
    assert len(load_images(tmp_path / "out/validation.npy")) == len(load_images(tmp_path / "out/test.npy")) == 1
    np.testing.assert_array_equal(train[0], pixels(321, 481, 3, seed=0).transpose(2, 0, 1))
    np.testing.assert_array_equal(train[1], np.rot90(pixels(481, 321, 3, seed=1)).transpose(2, 0, 1))


def test_grey_images(bsds: Path, tmp_path: Path) -> None:
    prepare_set("bsds500", tmp_path / "grey", tmp_path, [str(bsds)], grey=True, count=None)
    grey = load_images(tmp_path / "grey/train.npy")
    luma = np.rint(pixels(321, 481, 3, seed=0) @ [0.299, 0.587, 0.114])
    assert abs(grey[0, 0] - luma).max() <= 1


def test_images_are_checked(bsds: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 2 training images of BSDS500, not 200.*'count' .* to null"):
        prepare_set("bsds500", tmp_path / "out", bsds)
    (bsds / "bsds500/val/c.png").unlink()
    with pytest.raises(UserError, match=r"val is missing or holds no image"):
        prepare_set("bsds500", tmp_path / "out", bsds, count=None)
    place(bsds / "bsds500", {"val/c.png": pixels(100, 481, 3)})
    with pytest.raises(UserError, match=r"c.png is 481x100; images of BSDS500 are 481x321 or 321x481"):
        prepare_set("bsds500", tmp_path / "out", bsds, count=None)
    file = bsds / "bsds500/val/c.png"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"c.png is missing, damaged or too large .*truncated"):
        prepare_set("bsds500", tmp_path / "out", bsds, count=None)
    assert not (tmp_path / "out/validation.npy").exists()


@pytest.mark.parametrize("place", ["images", "BSDS500/images", "BSR/BSDS500/data/images"])
def test_unpacked_archives(bsds: Path, tmp_path: Path, place: str) -> None:
    unpacked = tmp_path / "own/bsds500" / place
    unpacked.parent.mkdir(parents=True)
    (bsds / "bsds500").rename(unpacked)
    (unpacked.parent / "groundTruth/train").mkdir(parents=True)
    prepare_set("bsds500", tmp_path / "out", tmp_path / "own", count=2)
    assert [len(load_images(tmp_path / f"out/{split}.npy")) for split in SPLITS] == [2, 1, 1]


def pack(place: Path, names: list[str]) -> None:
    """Write an archive of images."""
    content = io.BytesIO()
    Image.fromarray(pixels(321, 481, 3)).save(content, "jpeg")
    place.parent.mkdir(exist_ok=True)
    with tarfile.open(place, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(content.getvalue())
            tar.addfile(member, io.BytesIO(content.getvalue()))


def test_a_download_that_others_read_is_not_removed(server: tuple[str, Path], tmp_path: Path) -> None:
    """The images are read later, while another job asks for a number of images that the mirror does not have."""
    url, folder = server
    pack(
        folder / "bsds500/BSR_bsds500.tgz", [f"BSR/BSDS500/data/images/{split}/1.jpg" for split in ("train", "val", "test")]
    )
    sources = Sources(tmp_path / "own", [url])
    _, images = dataset("bsds500", count=1).read(sources)
    with pytest.raises(UserError, match=r"1 training images of BSDS500, not 200"):
        dataset("bsds500", grey=True).read(sources)
    (read,) = images["train"]
    assert callable(read)
    assert read().shape == (3, 321, 481)


def test_a_download_that_fails_its_check_is_fetched_again(server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    names = [f"BSR/BSDS500/data/images/{split}/{i}.jpg" for split in ("train", "val", "test") for i in range(2)]
    pack(folder / "bsds500/BSR_bsds500.tgz", names[1:])
    with pytest.raises(UserError, match=r"1 training images of BSDS500, not 2"):
        prepare_set("bsds500", tmp_path / "out", tmp_path / "own", [url], count=2)
    pack(folder / "bsds500/BSR_bsds500.tgz", names)
    prepare_set("bsds500", tmp_path / "out", tmp_path / "own", [url], count=2)


def test_archive(server: tuple[str, Path], tmp_path: Path) -> None:
    """Of the archive only its images are used, wherever its other names lead."""
    url, folder = server
    names = [f"BSR/BSDS500/data/images/{split}/{i}.jpg" for split in ("train", "val", "test") for i in range(2)]
    names += [
        "../../../BSDS500/data/images/test/../../evil.jpg",
        "/BSR/evil.jpg",
        "BSR/BSDS500/data/groundTruth/train/2.mat",
    ]
    pack(folder / "bsds500/BSR_bsds500.tgz", names)
    prepare_set("bsds500", tmp_path / "out", tmp_path / "own", [url], count=2)
    assert [len(load_images(tmp_path / f"out/{split}.npy")) for split in SPLITS] == [2, 2, 2]
    assert [path.name for path in tmp_path.rglob("*.jpg") if path.stem not in "01"] == []
    shutil.rmtree(tmp_path / "downloads")
    archive = folder / "bsds500/BSR_bsds500.tgz"
    archive.write_bytes(archive.read_bytes()[:-1000])
    with pytest.raises(UserError, match="BSDS500 could not be downloaded.*Tried:\n.*bsds500: "):
        prepare_set("bsds500", tmp_path / "out", tmp_path / "own", [url])


def test_missing_images_say_what_to_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"could not be downloaded. Get it from .* and place it at .*bsds500"):
        prepare_set("bsds500", tmp_path / "out", tmp_path / "elsewhere")


def test_sizes() -> None:
    assert [dataset("bsds500").sizes(split) for split in SPLITS] == [
        [(321, 481, 200)],
        [(321, 481, None)],
        [(321, 481, None)],
    ]
    assert (dataset("bsds500").channels, dataset("bsds500", grey=True).channels) == (3, 1)
    assert dataset("bsds500").same_everywhere
