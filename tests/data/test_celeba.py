import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop

import lpn.data.celeba
from data.conftest import dataset, jpeg, prepare_set, too_many_downloads
from lpn.data import SPLITS
from lpn.errors import UserError


@pytest.fixture
def celeba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with CelebA of 3 training and 4 validation images, of which two are the test."""
    monkeypatch.setattr(lpn.data.celeba, "TEST", slice(1, 3))
    place = tmp_path / "data/celeba/celeba"
    (place / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(1, 8)]
    for seed, name in enumerate(names):
        (place / "img_align_celeba" / name).write_bytes(jpeg(178, 218, seed))
    (place / "list_eval_partition.txt").write_text("".join(f"{n} {0 if i < 3 else 1}\n" for i, n in enumerate(names)))
    return tmp_path / "data"


def test_images_are_cropped_and_split(celeba: Path, tmp_path: Path) -> None:
    prepare_set("celeba", tmp_path / "out", celeba, count=3)
    shapes = {split: np.load(tmp_path / f"out/{split}.npy").shape for split in ("train", "validation", "test")}
    assert shapes == {"train": (3, 3, 128, 128), "validation": (2, 3, 128, 128), "test": (2, 3, 128, 128)}
    with Image.open(celeba / "celeba/celeba/img_align_celeba/000005.jpg") as image:
        expected = CenterCrop(128)(image)  # the paper's transform
    test = np.load(tmp_path / "out/test.npy")
    np.testing.assert_array_equal(test[0].transpose(1, 2, 0), np.asarray(expected))
    np.save(tmp_path / "same.npy", test)
    assert (tmp_path / "out/test.npy").read_bytes() == (tmp_path / "same.npy").read_bytes()

    unpacked = celeba / "celeba/celeba/img_align_celeba"
    shutil.copytree(unpacked, tmp_path / unpacked.name)
    shutil.rmtree(unpacked)
    unpacked.mkdir()
    (tmp_path / unpacked.name).rename(unpacked / unpacked.name)  # a folder of the same name in it
    prepare_set("celeba", tmp_path / "nested", celeba, count=None)
    assert (tmp_path / "nested/test.npy").read_bytes() == (tmp_path / "out/test.npy").read_bytes()


def test_public_copies(celeba: Path, tmp_path: Path) -> None:
    """The partition as a table, in one folder with the images, whose archive has its files at any depth."""
    prepare_set("celeba", tmp_path / "out", celeba, count=3)
    given, place = celeba / "celeba/celeba", tmp_path / "copy/celeba"
    place.mkdir(parents=True)
    rows = (given / "list_eval_partition.txt").read_text().replace(" ", ",").replace("\n", "\r\n")
    (place / "list_eval_partition.csv").write_text(f"\ufeffimage_id,partition\r\n{rows}", encoding="utf-8", newline="")
    (given / "img_align_celeba").rename(place / "img_align_celeba")
    assert prepare_set("celeba", tmp_path / "folder", tmp_path / "copy", count=3) == str(place / "img_align_celeba")
    for prefix in ("", "archive/img_align_celeba/img_align_celeba/"):
        with zipfile.ZipFile(place / "img_align_celeba.zip", "w") as archive:
            for path in (place / "img_align_celeba").iterdir():
                archive.write(path, f"{prefix}{path.name}")
                archive.writestr(f"__MACOSX/._{path.name}", "what macOS adds")
        (place / "img_align_celeba").rename(place / "moved")
        prepare_set("celeba", tmp_path / "zip", tmp_path / "copy", count=3)
        (place / "moved").rename(place / "img_align_celeba")
        for split in SPLITS:
            expected = (tmp_path / f"out/{split}.npy").read_bytes()
            assert [(tmp_path / f"{out}/{split}.npy").read_bytes() for out in ("folder", "zip")] == [expected] * 2


def test_archive_of_a_mirror(celeba: Path, tmp_path: Path) -> None:
    prepare_set("celeba", tmp_path / "folder", celeba, count=None)
    place = celeba / "celeba/celeba"
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    with zipfile.ZipFile(mirror / "img_align_celeba.zip", "w") as archive:
        for path in (place / "img_align_celeba").iterdir():
            archive.write(path, f"img_align_celeba/{path.name}")
        archive.writestr("../escaped.txt", "never unpacked")
    shutil.rmtree(place / "img_align_celeba")
    prepare_set("celeba", tmp_path / "zip", celeba, [str(mirror)], count=None)
    assert not list(tmp_path.rglob("escaped.txt"))
    for split in SPLITS:
        assert (tmp_path / f"zip/{split}.npy").read_bytes() == (tmp_path / f"folder/{split}.npy").read_bytes()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda place: (place / "img_align_celeba/000002.jpg").unlink(),
            r"000002\.jpg is missing, damaged .*No such file",
        ),
        (
            lambda place: (place / "img_align_celeba/000002.jpg").write_bytes(jpeg(178, 218)[:9000]),
            "000002.*truncated",
        ),
        (lambda place: (place / "img_align_celeba/000002.jpg").write_bytes(jpeg(64, 64)), "000002.* is 64x64"),
        (
            lambda place: Image.new("CMYK", (178, 218)).save(place / "img_align_celeba/000002.jpg"),
            r"000002\.jpg is of mode CMYK",
        ),
        (lambda place: (place / "list_eval_partition.txt").write_text("../x.jpg 0\n"), "line 1"),
        (lambda place: (place / "list_eval_partition.txt").write_text("000001.jpg 0\n"), "at least 1 and 3"),
        (lambda place: (place / "list_eval_partition.txt").write_text("000001.jpg 0\n000001.jpg 1\n"), "named twice"),
        (lambda place: (place / "list_eval_partition.txt").write_bytes(b"\xff\xfe"), "line 1"),
    ],
)
def test_damaged_files_are_named(celeba: Path, tmp_path: Path, edit: Callable[[Path], object], message: str) -> None:
    edit(celeba / "celeba/celeba")
    with pytest.raises(UserError, match=message):
        prepare_set("celeba", tmp_path / "out", celeba, count=None)
    assert not (tmp_path / "out/train.npy").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", r"img_align_celeba\.zip is damaged or no zip archive"),
        (None, r"img_align_celeba\.zip/000001\.jpg is missing or damaged"),
    ],
)
def test_damaged_archives_are_named(celeba: Path, tmp_path: Path, content: bytes | None, message: str) -> None:
    place = celeba / "celeba/celeba"
    shutil.rmtree(place / "img_align_celeba")
    if content is None:
        zipfile.ZipFile(place / "img_align_celeba.zip", "w").close()
    else:
        (place / "img_align_celeba.zip").write_bytes(content)
    with pytest.raises(UserError, match=message):
        prepare_set("celeba", tmp_path / "out", celeba, count=None)


def test_missing_training_images_are_counted(celeba: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"3 training images of CelebA, not 162770.*set 'count' .* to null"):
        prepare_set("celeba", tmp_path / "out", celeba)


def test_missing_files_say_what_to_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdown.download", too_many_downloads)
    with pytest.raises(UserError, match=r"Place it in .*celeba/celeba") as info:
        prepare_set("celeba", tmp_path / "out", tmp_path / "data", [str(tmp_path / "mirror")])
    assert "mirror: not there" in str(info.value)
    assert "Google Drive: Too many users" in str(info.value)


def test_sizes() -> None:
    assert [dataset("celeba").sizes(split) for split in SPLITS] == [
        [(128, 128, 162770)],
        [(128, 128, None)],
        [(128, 128, 20)],
    ]
    assert dataset("celeba", count=None).sizes("train") == [(128, 128, None)]
    assert dataset("celeba").same_everywhere
    assert not dataset("celeba", count=None).same_everywhere
