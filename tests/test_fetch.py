"""Fetching of trained models, from a small server and a stand-in for Google Drive."""

import hashlib
import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from lpn.errors import UserError
from lpn.fetch import fetch_model


def model(value: float) -> bytes:
    """Return the bytes of a checkpoint."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.tensor(value)}, buffer)
    return buffer.getvalue()


MODEL, OTHER = model(1), model(2)


@pytest.fixture(autouse=True)
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of downloads in the test's folder."""
    monkeypatch.setenv("LPN_DOWNLOADS", str(tmp_path / "downloads"))


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Google Drive that answers."""
    monkeypatch.setattr("lpn.data._fetch.answer", Mock())


def test_url(server: tuple[str, Path]) -> None:
    url, folder = server
    (folder / "mnist.pt").write_bytes(MODEL)
    assert fetch_model(f"{url}mnist.pt").read_bytes() == MODEL
    with pytest.raises(UserError, match=r"faces\.pt could not be downloaded \(404.*give its path instead"):
        fetch_model(f"{url}faces.pt")


def test_a_url_is_pinned_on_first_use(server: tuple[str, Path]) -> None:
    url, folder = f"{server[0]}mnist.pt", server[1]
    first, second = (hashlib.sha256(content).hexdigest() for content in (MODEL, OTHER))
    (folder / "mnist.pt").write_bytes(MODEL)
    fetch_model(url)
    (folder / "mnist.pt").write_bytes(OTHER)
    with pytest.raises(
        UserError, match=f"SHA-256 {second}, not {first} as when .* Set the key 'sha256' of the model"
    ) as info:
        fetch_model(url)
    earlier = str(info.value).split("its source to ")[1].split()[0]
    assert Path(earlier).read_bytes() == MODEL
    with pytest.raises(UserError, match=f"has the SHA-256 {second}, not {first}"):
        fetch_model(url)  # again
    for _ in range(2):  # the first one confirms it
        assert fetch_model(url, second).read_bytes() == OTHER
        second = None
    with pytest.raises(UserError, match=f"not {first} as its key 'sha256' says"):
        fetch_model(url, first)


def test_a_web_page_is_not_pinned(server: tuple[str, Path]) -> None:
    url, folder = f"{server[0]}mnist.pt", server[1]
    (folder / "mnist.pt").write_text("<html>Please log in</html>")
    with pytest.raises(UserError, match=rf"the model {url} is no model: .* is a web page"):
        fetch_model(url)
    (folder / "mnist.pt").write_bytes(MODEL)
    assert fetch_model(url).read_bytes() == MODEL


def test_a_given_checksum_is_checked(tmp_path: Path) -> None:
    (tmp_path / "mnist.pt").write_bytes(MODEL)
    right = hashlib.sha256(MODEL).hexdigest()
    assert fetch_model(str(tmp_path / "mnist.pt"), right) == tmp_path / "mnist.pt"
    with pytest.raises(UserError, match=rf"mnist\.pt has the SHA-256 {right}, not {'0' * 64} as its key 'sha256' says"):
        fetch_model(str(tmp_path / "mnist.pt"), "0" * 64)


@pytest.mark.usefixtures("drive")
def test_google_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    def download_folder(id: str, output: str, **options: object) -> None:
        assert id == "1abc"
        (Path(output) / "celeba").mkdir(parents=True, exist_ok=True)
        (Path(output) / "celeba/model.pt").write_bytes(MODEL)

    monkeypatch.setattr("gdown.download_folder", download_folder)
    assert fetch_model("drive:1abc/celeba/model.pt").read_bytes() == MODEL
    with pytest.raises(UserError, match=r"mayo\.pt does not exist; its folder has: celeba/model\.pt"):
        fetch_model("drive:1abc/mayo.pt")

    def quota(id: str, output: str, **options: object) -> None:
        download_folder(id, output)
        raise OSError("too many users have downloaded another file")

    monkeypatch.setattr("gdown.download_folder", quota)
    assert fetch_model("drive:1abc/celeba/model.pt").read_bytes() == MODEL  # it is there
    with pytest.raises(UserError, match=r"mayo\.pt could not be downloaded \(too many users"):
        fetch_model("drive:1abc/mayo.pt")


def test_jobs_download_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    running = []

    def download(source: str, folder: Path) -> Path:
        running.append(source)
        assert len(running) == 1
        time.sleep(0.3)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mnist.pt").write_bytes(MODEL)
        running.clear()
        return folder / "mnist.pt"

    monkeypatch.setattr("lpn.fetch.download", download)
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(fetch_model, ["http://server/mnist.pt"] * 2))
    assert paths[0].read_bytes() == MODEL
    assert paths[0] == paths[1]


def test_path(tmp_path: Path) -> None:
    (tmp_path / "mnist.pt").write_bytes(MODEL)
    assert fetch_model(str(tmp_path / "mnist.pt")) == tmp_path / "mnist.pt"
    with pytest.raises(UserError, match=r"minst\.pt does not exist; its folder has: .*mnist\.pt"):
        fetch_model(str(tmp_path / "minst.pt"))
    with pytest.raises(UserError, match=r"is a folder; it has: .*mnist\.pt"):
        fetch_model(str(tmp_path))
