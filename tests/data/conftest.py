"""Small raw data, and no downloads but those of a test."""

import io
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from gdown.exceptions import FileURLRetrievalError
from PIL import Image

import lpn.data._fetch
from lpn.data import DataSet, Sources
from lpn.prepare import prepare
from lpn.settings import component


@pytest.fixture(autouse=True)
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of downloads in the test's folder."""
    monkeypatch.setenv("LPN_DOWNLOADS", str(tmp_path / "downloads"))
    return tmp_path / "downloads"


@pytest.fixture(autouse=True)
def drive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Google Drive that answers."""
    answer = lpn.data._fetch.answer
    monkeypatch.setattr("lpn.data._fetch.answer", lambda url, *rest: Mock() if "google" in url else answer(url, *rest))


@pytest.fixture(autouse=True)
def zenodo(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Zenodo."""
    monkeypatch.setattr("lpn.data._zenodo.API", "http://127.0.0.1:9/api/records")


def dataset(name: str, **settings: Any) -> DataSet:
    """Return a built-in data set."""
    found = component("dataset", name).model_validate(settings)
    assert isinstance(found, DataSet)
    return found


def prepare_set(name: str, output: Path, folder: Path, mirrors: list[str] | None = None, **settings: Any) -> str:
    """Prepare a built-in data set with settings; return its source."""
    return prepare(dataset(name, **settings), output, Sources(folder, mirrors or []))


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    """Return random pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def place(folder: Path, images: dict[str, np.ndarray]) -> Path:
    """Write PNG files."""
    for name, image in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


def jpeg(width: int, height: int, seed: int = 0) -> bytes:
    """Return a JPEG of random pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels(height, width, 3, seed=seed)).save(buffer, "JPEG")
    return buffer.getvalue()


def too_many_downloads(**options: object) -> None:
    """Fail as gdown does if Google Drive refuses."""
    raise FileURLRetrievalError("Too many users have viewed or downloaded this file recently.")
