import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import lpn.data
from lpn.data import MNIST_FILE, MNIST_HEADER, fetch_mnist, load_mnist
from lpn.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 28, 28)).astype(np.uint8)
RAW = MNIST_HEADER + IMAGES.tobytes()


@pytest.fixture(autouse=True)
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST of 20 images, and no source but those that a test gives."""
    monkeypatch.setattr(lpn.data, "MNIST_MD5", hashlib.md5(RAW).hexdigest())
    monkeypatch.setattr(lpn.data, "_torchvision_mirrors", list)
    monkeypatch.setattr(lpn.data, "MNIST_NPM_PACKAGE", "/nonexistent/package")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An HTTP server of a folder."""
    folder = tmp_path / "server"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/", folder
        httpd.shutdown()


@pytest.mark.parametrize("name", ["mnist.npy", MNIST_FILE, f"{MNIST_FILE}.gz"])
def test_own_folder_comes_first(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data/mnist"
    folder.mkdir(parents=True)
    if name == "mnist.npy":
        np.save(folder / name, IMAGES)
    else:
        (folder / name).write_bytes(gzip.compress(RAW) if name.endswith(".gz") else RAW)
    assert fetch_mnist(tmp_path / "out.npy", tmp_path / "data") == str(folder / name)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), IMAGES)


def test_next_source_after_damaged_ones(tmp_path: Path, server: tuple[str, Path]) -> None:
    url, folder = server
    packed = gzip.compress(RAW)
    broken = {"truncated": packed[:-500], "wrong": gzip.compress(RAW[:-1] + b"x"), "page": b"<html>not found</html>"}
    for name, content in broken.items():
        (folder / name).mkdir()
        (folder / name / f"{MNIST_FILE}.gz").write_bytes(content)
    mirrors = [*(url + name for name in [*broken, "missing"]), str(tmp_path / "no folder")]
    with pytest.raises(UserError) as info:
        fetch_mnist(tmp_path / "out.npy", tmp_path / "data", mirrors)
    message = str(info.value)
    assert f"Place {MNIST_FILE}.gz" in message
    assert str(tmp_path / "data/mnist") in message
    assert "data.mirrors" in message
    lines = {line.split(": ")[0].strip(): line for line in message.splitlines() if ": " in line}
    assert "ended before" in lines[url + "truncated"]
    assert "wrong checksum" in lines[url + "wrong"]
    assert "gzip" in lines[url + "page"]
    assert "404" in lines[url + "missing"]
    assert "No such file" in lines[str(tmp_path / "no folder")]
    assert not (tmp_path / "out.npy").exists()

    (folder / f"{MNIST_FILE}.gz").write_bytes(packed)
    assert fetch_mnist(tmp_path / "out.npy", tmp_path / "data", [*mirrors, url]) == url
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), IMAGES)


def test_prepared_file_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npy"
    np.save(path, IMAGES)
    with pytest.raises(UserError, match=r"mnist\.npy holds uint8 \(20, 28, 28\)"):
        load_mnist(path, "train")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"mnist\.npy can't be read"):
        load_mnist(path, "train")
    path.write_bytes(b"\x80\x04payload")
    with pytest.raises(UserError, match="can't be read"):
        load_mnist(path, "train")
