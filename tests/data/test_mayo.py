import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lpn.data.mayo
from data.conftest import dataset, prepare_set, too_many_downloads
from lpn.data import SPLITS
from lpn.errors import UserError


@pytest.fixture
def mayo(tmp_path: Path) -> Path:
    """A data folder with ten training slices and one test slice."""
    for part, number in (("train", 10), ("test", 1)):
        folder = tmp_path / "data/mayoct/mayo_data_arranged_patientwise" / part / "Phantom"
        folder.mkdir(parents=True)
        for i in range(number):
            np.save(folder / f"phantom_{i}.npy", np.full((512, 512), i / 10, np.float32))
    return tmp_path / "data"


def test_slices_are_in_the_order_of_their_numbers(mayo: Path, tmp_path: Path) -> None:
    folder = mayo / "mayoct/mayo_data_arranged_patientwise/train/Phantom"
    (folder / "phantom_0.npy").rename(folder / "phantom_10.npy")  # after 9, not after 1
    prepare_set("mayo", tmp_path / "out", mayo, count=10)
    train, validation = (np.load(tmp_path / f"out/{split}.npy") for split in ("train", "validation"))
    np.testing.assert_allclose(np.concatenate([train, validation])[:, 0, 0, 0], [*np.arange(1, 10) / 10, 0])
    assert train.shape == (2, 1, 512, 512)


def test_own_folder_without_the_slices_is_not_replaced(mayo: Path, tmp_path: Path) -> None:
    arranged = mayo / "mayoct/mayo_data_arranged_patientwise"
    for part in ("train", "test"):
        (arranged / part).rename(mayo / "mayoct" / part)
    arranged.rmdir()
    assert prepare_set("mayo", tmp_path / "out", mayo) == str(mayo / "mayoct")
    (mayo / "mayoct/train/Phantom").rename(mayo / "mayoct/train/phantom")
    with pytest.raises(UserError, match=r"mayoct/train/Phantom is missing or holds no \.npy file"):
        prepare_set("mayo", tmp_path / "out", mayo)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((256, 256), np.float32), r"phantom_3\.npy has shape \(256, 256\)"),
        (np.full((512, 512), np.nan, np.float32), r"phantom_3\.npy holds NaN"),
        (np.full((512, 512), 1000, np.int16), r"phantom_3\.npy .*outside \[0, 1\]"),
        (b"\x80\x04payload", r"phantom_3\.npy is truncated"),
    ],
)
def test_damaged_slices_are_named(mayo: Path, tmp_path: Path, content: np.ndarray | bytes, message: str) -> None:
    path = mayo / "mayoct/mayo_data_arranged_patientwise/train/Phantom/phantom_3.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(UserError, match=message):
        prepare_set("mayo", tmp_path / "out", mayo)


def test_slices_are_counted(mayo: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 10 training images of Mayo-CT, not 300"):
        prepare_set("mayo", tmp_path / "out", mayo, count=300)
    for i in range(2):
        (mayo / f"mayoct/mayo_data_arranged_patientwise/train/Phantom/phantom_{i}.npy").unlink()
    with pytest.raises(UserError, match=r"has 8 slices; more than 8 are needed"):
        prepare_set("mayo", tmp_path / "out", mayo)


def test_slices_are_downloaded_once(mayo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads = []

    def download_folder(output: str, **options: object) -> None:
        downloads.append(options)
        shutil.copytree(mayo / "mayoct", Path(output) / "shared by its authors")

    monkeypatch.setattr("gdown.download_folder", download_folder)
    for run in ("first", "second"):
        prepare_set("mayo", tmp_path / run, tmp_path / "empty")
    assert len(downloads) == 1
    assert np.load(tmp_path / "second/train.npy").shape == (2, 1, 512, 512)


def test_missing_slices_say_what_to_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdown.download_folder", too_many_downloads)
    with pytest.raises(UserError, match="Place the folder 'mayo_data_arranged_patientwise'"):
        prepare_set("mayo", tmp_path / "out", tmp_path / "data")


Archive = Callable[[dict[str, np.ndarray]], None]


@pytest.fixture
def archive(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Archive:
    """What places a record on a local server that answers as Zenodo's API does, with one archive of .npy files."""
    url, folder = server
    monkeypatch.setattr("lpn.data._zenodo.API", f"{url}api/records")
    monkeypatch.setattr("gdown.download_folder", too_many_downloads)
    monkeypatch.setattr(lpn.data.mayo, "TESTS", 3)

    def write(arrays: dict[str, np.ndarray]) -> None:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as file:
            for name, array in arrays.items():
                with file.open(name, "w") as member:
                    np.save(member, array)
        place = folder / f"files/{len(arrays)}/content"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.getvalue())
        md5 = hashlib.md5(content.getvalue()).hexdigest()
        entry = {"key": "ct.zip", "checksum": f"md5:{md5}", "links": {"self": f"{url}files/{len(arrays)}/content"}}
        (folder / "api/records").mkdir(parents=True, exist_ok=True)
        (folder / "api/records/8302121").write_text(json.dumps({"files": [entry]}))

    return write


def slices(tests: int = 3) -> dict[str, np.ndarray]:
    """Return the arrays of a record."""
    found = {f"data/test/Phantom/slice_{i}.npy": np.full((512, 512), i / 10, np.float32) for i in range(tests)}
    found["data/val/Phantom/slice_0.npy"] = np.full((512, 512), 0.9, np.float32)
    return found | {"data/test/FBP/slice_0.npy": np.ones((512, 512), np.float32), "sino/test_0.npy": np.ones((2, 3))}


def test_test_slices_from_zenodo(archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive(slices())
    for run in ("first", "second"):  # the second one from the cache
        assert prepare_set("mayo", tmp_path / run, tmp_path / "empty") == "Zenodo, record 8302121"
    assert "none for training" in capsys.readouterr().out
    train, validation, test = (np.load(tmp_path / f"second/{split}.npy") for split in SPLITS)
    assert (train.shape, validation.shape) == ((0, 1, 512, 512), (1, 1, 512, 512))
    np.testing.assert_allclose(test[:, 0, 0, 0], [0, 0.1, 0.2])
    with pytest.raises(UserError, match=r"Google Drive: .*\n  Zenodo, record 8302121: .* has 0 training images .*, not 281"):
        prepare_set("mayo", tmp_path / "out", tmp_path / "empty", count=281)


def test_zenodo_is_pinned_on_first_use(archive: Archive, tmp_path: Path, downloads: Path) -> None:
    archive(slices())
    prepare_set("mayo", tmp_path / "out", tmp_path / "empty")
    archive(slices() | {"data/test/Phantom/slice_2.npy": np.zeros((512, 512), np.float32)})
    prepare_set("mayo", tmp_path / "out", tmp_path / "empty")  # from the cache
    shutil.rmtree(downloads / "mayoct-zenodo")
    for _ in range(2):
        with pytest.raises(UserError, match=r"has the SHA-256 \w{64}, not \w{64} as on its first use. Remove the folder"):
            prepare_set("mayo", tmp_path / "out", tmp_path / "empty")
    (downloads / "mayoct-zenodo.sha256").unlink()
    prepare_set("mayo", tmp_path / "out", tmp_path / "empty")


def test_records_of_another_kind_say_what_they_hold(
    archive: Archive, server: tuple[str, Path], tmp_path: Path, downloads: Path
) -> None:
    archive(slices(tests=2))
    with pytest.raises(UserError, match=r"has 2 files of phantoms for tests, not 3. It holds ct.zip, data/test/Phantom"):
        prepare_set("mayo", tmp_path / "out", tmp_path / "empty")
    archive(slices())
    listing = server[1] / "api/records/8302121"
    listing.write_text(listing.read_text().replace("md5:", "md5:0"))
    with pytest.raises(UserError, match=r"ct.zip has the md5 \w{32}, not 0\w{32} as the record says"):
        prepare_set("mayo", tmp_path / "out", tmp_path / "empty")
    listing.write_text("{}")
    with pytest.raises(UserError, match=r"Zenodo, record 8302121: 'files'"):
        prepare_set("mayo", tmp_path / "out", tmp_path / "empty")
    assert not (downloads / "mayoct-zenodo").exists()


def test_sizes() -> None:
    assert [dataset("mayo").sizes(split) for split in SPLITS] == [
        [(512, 512, None)],
        [(512, 512, 8)],
        [(512, 512, None)],
    ]
    assert dataset("mayo", count=281).sizes("train") == [(512, 512, 273)]
