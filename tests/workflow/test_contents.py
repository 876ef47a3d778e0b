"""The content of the files that settings name."""

import os
from pathlib import Path

import pytest
from contents import Contents


def test_content_is_that_of_the_bytes(tmp_path: Path) -> None:
    store, file = tmp_path / "store/contents.json", tmp_path / "kernel.npy"
    file.write_bytes(b"one")
    first = Contents(store).of([str(file)])
    assert len(first) == 16
    os.utime(file, (1, 1))  # as a copy of the project
    assert Contents(store).of([str(file)]) == first
    older = tmp_path / "older.npy"
    older.write_bytes(b"two")
    os.utime(older, (0, 0))
    older.replace(file)
    assert Contents(store).of([str(file)]) != first
    file.unlink()
    assert Contents(store).of([str(file)]) not in (first, "")
    assert Contents(store).of([]) == ""


def test_folders_are_all_their_files(tmp_path: Path) -> None:
    contents, folder = Contents(tmp_path / "contents.json"), tmp_path / "images"
    (folder / "train").mkdir(parents=True)
    (folder / "train/a.png").write_bytes(b"a")
    first = contents.of([str(folder)])
    (folder / "train/b.png").write_bytes(b"b")
    second = contents.of([str(folder)])
    (folder / "train/b.png").rename(folder / "train/c.png")
    assert len({first, second, contents.of([str(folder)])}) == 3


def test_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr("contents.checksum", lambda path: read.append(path) or "0")
    file = tmp_path / "model.pt"
    file.write_bytes(b"weights")
    for _ in range(2):
        Contents(tmp_path / "contents.json").of([str(file)])
    assert read == [file]
