"""Models that were trained elsewhere: from a file, a URL or Google Drive."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from lpn.checkpoints import load_model, save_model
from lpn.errors import UserError
from lpn.networks import LPN
from lpn.sources import fetch_model

NETWORK = {"name": "lpn_28", "hidden": 8}


@pytest.fixture
def trained(tmp_path: Path, mnist_network: LPN, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published checkpoint, without a description of its network beside it."""
    monkeypatch.setenv("LPN_DOWNLOADS", str(tmp_path / "downloads"))
    path = tmp_path / "elsewhere/mnist.pt"
    path.parent.mkdir()
    save_model(path, mnist_network, 7, {"state": {}, "param_groups": []}, 0.5)
    path.with_name("model_config.json").unlink()
    return path


@pytest.fixture
def url(trained: Path) -> Iterator[str]:
    """The address of the checkpoint's folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=trained.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def import_model(source: str, output: Path, network: dict = NETWORK) -> subprocess.CompletedProcess[str]:
    spec = json.dumps({"source": source, "network": network})
    command = [sys.executable, str(ROOT / "scripts/import_model.py"), "--spec", spec, "--output", str(output)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_imported_model_is_the_same(trained: Path, tmp_path: Path, mnist_network: LPN) -> None:
    run = import_model(str(trained), tmp_path / "model.pt")
    assert run.returncode == 0, run.stderr
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(load_model(tmp_path / "model.pt")(x), mnist_network(x))


def test_download_from_a_url(trained: Path, url: str) -> None:
    assert fetch_model(f"{url}/mnist.pt").read_bytes() == trained.read_bytes()
    with pytest.raises(UserError, match=r"faces\.pt could not be had.*config key 'source'"):
        fetch_model(f"{url}/faces.pt")


def test_google_drive(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download_folder(id: str, output: str, **options: object) -> None:
        assert id == "1abc"
        (Path(output) / "celeba").mkdir(parents=True, exist_ok=True)
        (Path(output) / "celeba/model.pt").write_bytes(trained.read_bytes())

    monkeypatch.setattr("gdown.download_folder", download_folder)
    assert fetch_model("drive:1abc/celeba/model.pt").read_bytes() == trained.read_bytes()
    with pytest.raises(UserError, match=r"mayo\.pt does not exist; its folder has: celeba/model\.pt"):
        fetch_model("drive:1abc/mayo.pt")

    def quota(id: str, output: str, **options: object) -> None:
        download_folder(id, output)
        raise OSError("too many users have downloaded another file")

    monkeypatch.setattr("gdown.download_folder", quota)
    assert fetch_model("drive:1abc/celeba/model.pt").read_bytes() == trained.read_bytes()  # it is there
    with pytest.raises(UserError, match=r"mayo\.pt could not be had \(too many users"):
        fetch_model("drive:1abc/mayo.pt")


def test_jobs_download_one_after_another(trained: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    active: list[str] = []

    def download(source: str, part: Path) -> None:
        assert active == []
        active.append(source)
        time.sleep(0.5)
        part.write_bytes(trained.read_bytes())
        active.clear()

    monkeypatch.setattr("lpn.sources._download_rest", download)
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(fetch_model, [f"{url}/mnist.pt"] * 2))
    assert paths[0].read_bytes() == trained.read_bytes()


def test_missing_file_names_its_neighbours(trained: Path) -> None:
    with pytest.raises(UserError, match=r"minst\.pt does not exist; its folder has: .*mnist\.pt"):
        fetch_model(str(trained.with_name("minst.pt")))


def test_settings_that_the_network_was_not_trained_with_are_refused(trained: Path, tmp_path: Path) -> None:
    """The weights of another beta or alpha fit as well, and make another function."""
    trained.with_name("model_config.json").write_text(json.dumps(NETWORK | {"beta": 7.0}))
    run = import_model(str(trained), tmp_path / "out/model.pt")
    assert run.returncode == 1
    assert re.search(r"'network\.beta' is \d+.*model_config\.json the network was trained with\s+7\.0", run.stderr)
    assert import_model(str(trained), tmp_path / "out/model.pt", NETWORK | {"beta": 7.0}).returncode == 0


def test_other_architecture_and_nan_are_refused(trained: Path, tmp_path: Path) -> None:
    run = import_model(str(trained), tmp_path / "out/model.pt", NETWORK | {"hidden": 4})
    assert run.returncode == 1
    assert "another architecture" in run.stderr
    checkpoint = torch.load(trained, weights_only=True)
    checkpoint["model_state_dict"]["lin.1.weight"][0] = torch.nan
    torch.save(checkpoint, trained)
    run = import_model(str(trained), tmp_path / "out/model.pt")
    assert "parameter lin.1.weight holds NaN" in run.stderr
    assert not (tmp_path / "out/model.pt").exists()
