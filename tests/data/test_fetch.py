"""Downloads that break off."""

import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lpn.data._fetch
import lpn.data.mnist
from data.conftest import prepare_set
from data.test_mnist import RAW, check_images, small_mnist
from lpn.data.mnist import FILE

__all__ = ["small_mnist"]


@pytest.fixture(params=[True, False], ids=["ranges", "no ranges"])
def flaky(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[str | None], bool]]:
    """A server of one file that drops connections after a third of it, the ranges it was asked for, whether it knows them.

    If it knows ranges, it drops only the first two connections.
    """
    asked: list[str | None] = []
    content = gzip.compress(RAW)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Range"])
            start = int((asked[-1] or "").removeprefix("bytes=").removesuffix("-") or 0) if request.param else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            drop = len(asked) < 3 or not request.param
            self.wfile.write(content[start : start + len(content) // 3] if drop else content[start:])

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", asked, request.param
        httpd.shutdown()


def test_dropped_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flaky: tuple[str, list[str | None], bool]
) -> None:
    """A download goes on where it broke off; if the server can't do that, the next mirror is used."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    url, asked, ranges = flaky
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / f"{FILE}.gz").write_bytes(gzip.compress(RAW))
    mirror = str(tmp_path / "mirror")
    source = prepare_set("mnist", tmp_path / "out", tmp_path / "data", [url, mirror])
    check_images(tmp_path / "out")
    if ranges:
        assert source == url
        assert asked == [None, "bytes=4096-", "bytes=8192-"]  # whole blocks of what came
    else:
        assert source == mirror
        assert len(asked) == lpn.data._fetch.DOWNLOAD_ATTEMPTS


@pytest.mark.parametrize("flaky", [True], indirect=True)
def test_download_of_a_killed_process_goes_on(tmp_path: Path, flaky: tuple[str, list[str | None], bool]) -> None:
    content, url, asked = gzip.compress(RAW), f"{flaky[0]}/{FILE}.gz", flaky[1]
    asked += [None, None]  # no more drops
    mirror = hashlib.md5(url.encode()).hexdigest()[:8]
    (tmp_path / f"{FILE}.gz.{mirror}.part").write_bytes(content[:1000])
    assert lpn.data._fetch.download(url, tmp_path).read_bytes() == content
    assert asked[-1] == "bytes=1000-"
