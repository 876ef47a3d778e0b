"""Fetching of trained models, from a small server and a stand-in for Google Drive."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lpn.errors import UserError
from lpn.fetch import fetch_model

MODEL = b"the bytes of a model"


@pytest.fixture(autouse=True)
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of downloads in the test's folder."""
    monkeypatch.setenv("LPN_DOWNLOADS", str(tmp_path / "downloads"))


def test_url(server: tuple[str, Path]) -> None:
    url, folder = server
    (folder / "mnist.pt").write_bytes(MODEL)
    assert fetch_model(f"{url}mnist.pt").read_bytes() == MODEL
    with pytest.raises(UserError, match=r"faces\.pt could not be downloaded \(404.*give its path instead"):
        fetch_model(f"{url}faces.pt")


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

    def download(source: str, part: Path) -> None:
        running.append(source)
        assert len(running) == 1
        time.sleep(0.3)
        part.write_bytes(MODEL)
        running.clear()

    monkeypatch.setattr("lpn.data._fetch._download_rest", download)
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(fetch_model, ["http://server/mnist.pt"] * 2))
    assert paths[0].read_bytes() == MODEL
    assert paths[0] == paths[1]


def test_path(tmp_path: Path) -> None:
    (tmp_path / "mnist.pt").write_bytes(MODEL)
    assert fetch_model(str(tmp_path / "mnist.pt")) == tmp_path / "mnist.pt"
    with pytest.raises(UserError, match=r"minst\.pt does not exist; its folder has: .*mnist\.pt"):
        fetch_model(str(tmp_path / "minst.pt"))
