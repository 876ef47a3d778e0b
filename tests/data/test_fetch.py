"""Downloads: that break off, of files that change meanwhile, without a network, without a place."""

import errno
import gzip
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lpn.data._fetch
from data.conftest import prepare_set
from data.test_mnist import RAW, check_images, small_mnist
from lpn.data._fetch import DOWNLOAD_ATTEMPTS, cache, download, first_good, reason
from lpn.data.mnist import FILE
from lpn.errors import UserError

__all__ = ["small_mnist"]
NAME = f"{FILE}.gz"


class Server(http.server.ThreadingHTTPServer):
    """A server of one file, which drops connections after a seventh of the file."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.content = gzip.compress(RAW)
        self.headers = {"ETag": '"1"'}  # of the file
        self.ranges = self.conditions = True  # whether it knows Range and If-Range
        self.drops = 0  # how many more connections it drops
        self.asked: list[str | None] = []  # the ranges that it was asked for


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for a `Server`."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked.append(self.headers["Range"])
        start = int((self.headers["Range"] or "").removeprefix("bytes=").removesuffix("-") or 0)
        same = not server.conditions or self.headers["If-Range"] in server.headers.values()
        if not server.ranges or not same:
            start = 0
        size = len(server.content)
        if start >= size:
            return self.send_error(416)
        self.send_response(206 if start else 200)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(size - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        drop, server.drops = server.drops > 0, server.drops - 1
        self.wfile.write(server.content[start : start + size // 7] if drop else server.content[start:])
        return None

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server, for which no one waits."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def break_off(source: Server, folder: Path) -> None:
    """Start a download that breaks off as often as it may."""
    source.drops = DOWNLOAD_ATTEMPTS
    with pytest.raises(OSError, match=r"more expected\), 5 times"):
        download(f"{source.url}/{NAME}", folder)
    source.drops = 0
    source.asked.clear()


def test_a_download_goes_on_where_it_broke_off(source: Server, tmp_path: Path) -> None:
    source.drops = 2
    assert prepare_set("mnist", tmp_path / "out", tmp_path / "data", [source.url]) == source.url
    check_images(tmp_path / "out")
    part = len(source.content) // 7
    assert source.asked == [None, f"bytes={part}-", f"bytes={2 * part}-"]


def test_the_next_mirror_is_used_where_a_server_knows_no_ranges(source: Server, tmp_path: Path) -> None:
    source.drops, source.ranges = 99, False
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / NAME).write_bytes(gzip.compress(RAW))
    mirror = str(tmp_path / "mirror")
    assert prepare_set("mnist", tmp_path / "out", tmp_path / "data", [source.url, mirror]) == mirror
    check_images(tmp_path / "out")
    assert len(source.asked) == DOWNLOAD_ATTEMPTS


@pytest.mark.parametrize("headers", [{"ETag": '"1"'}, {"ETag": 'W/"1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_another_process_goes_on(source: Server, tmp_path: Path, headers: dict[str, str]) -> None:
    source.headers = headers
    source.content = bytes(range(256)) * 400
    break_off(source, tmp_path)
    assert download(f"{source.url}/{NAME}", tmp_path).read_bytes() == source.content
    (asked,) = source.asked
    assert asked
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("conditions", [True, False])
@pytest.mark.parametrize("headers", [{"ETag": '"2"'}, {"Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}, {}])
def test_a_half_file_of_another_version_is_not_used(
    source: Server, tmp_path: Path, conditions: bool, headers: dict[str, str]
) -> None:
    source.content = b"1" * 100_000
    break_off(source, tmp_path)
    source.content, source.headers, source.conditions = b"2" * 90_000, headers, conditions
    assert download(f"{source.url}/{NAME}", tmp_path).read_bytes() == source.content


def test_a_half_file_whose_version_is_unknown_is_not_used(source: Server, tmp_path: Path) -> None:
    source.headers = {}
    break_off(source, tmp_path)
    assert download(f"{source.url}/{NAME}", tmp_path).read_bytes() == source.content
    assert source.asked == [None]


def test_a_whole_file_that_was_not_renamed(source: Server, tmp_path: Path) -> None:
    break_off(source, tmp_path)
    (part,) = tmp_path.glob("*.part")
    part.write_bytes(source.content)
    assert download(f"{source.url}/{NAME}", tmp_path).read_bytes() == source.content
    assert source.asked == [f"bytes={len(source.content)}-", None]


def test_a_file_is_saved_as_it_is_on_the_server(source: Server, tmp_path: Path) -> None:
    """Some servers declare .gz files as encoded: they must not be unpacked on the way."""
    source.headers["Content-Encoding"] = "gzip"
    found = download(f"{source.url}/models/{NAME}?download=1", tmp_path)
    assert (found.name, found.read_bytes()) == (NAME, source.content)


def test_a_file_that_is_too_short_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Server) -> None:
    """Also where urllib3 does not count the bytes."""
    monkeypatch.setattr("urllib3.response.HTTPResponse._init_length", lambda self, method: None)
    source.drops = DOWNLOAD_ATTEMPTS
    source.ranges = False
    with pytest.raises(OSError, match=f"bytes came, not {len(source.content)}, 5 times"):
        download(f"{source.url}/{NAME}", tmp_path)


def no_names(*args: object, **options: object) -> None:
    """Fail as the look-up of a name does without a network."""
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def test_without_a_network_each_source_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpn.data._fetch.SECONDS", 0.5)
    with socket.socket() as refusing, socket.socket() as deaf:
        refusing.bind(("127.0.0.1", 0))
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()  # and never answers
        urls = [f"http://127.0.0.1:{place.getsockname()[1]}" for place in (refusing, deaf)]
        start = time.perf_counter()
        with pytest.raises(UserError) as info:
            prepare_set("mnist", tmp_path / "out", tmp_path / "data", urls)
        assert time.perf_counter() - start < 5
    assert f"{urls[0]}: Connection refused\n" in str(info.value)
    assert f"{urls[1]}: {urls[1].removeprefix('http://')} does not answer within 0.5 s\n" in str(info.value)
    monkeypatch.setattr("socket.getaddrinfo", no_names)
    with pytest.raises(UserError, match=r"\n  http://data.org: Temporary failure in name resolution\n"):
        prepare_set("mnist", tmp_path / "out", tmp_path / "data", ["http://data.org"])


@pytest.mark.parametrize("place", ["LPN_DOWNLOADS", "HOME"])
def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.delenv("LPN_DOWNLOADS")
    (tmp_path / "file").touch()
    monkeypatch.setenv(place, str(tmp_path / "file/home"))
    for name in ("mnist", "kodak", "celeba", "bsds500"):
        with pytest.raises(UserError, match=r"can't be written to .*file/home.* \(Not a directory\). Set .*LPN_DOWN"):
            prepare_set(name, tmp_path / "out", tmp_path / "data", ["http://127.0.0.1:9"])


def test_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, folder in (("~/mine", tmp_path / "mine"), ("", tmp_path / ".cache/lpn")):
        monkeypatch.setenv("LPN_DOWNLOADS", value)
        assert cache() == folder
        assert list(folder.iterdir()) == []


def test_a_full_disk_names_the_setting() -> None:
    def read(source: str) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with pytest.raises(UserError, match="Tried:\n  http://a: no space left. Free some, or set .*LPN_DOWNLOADS"):
        first_good(["http://a"], read, "Not found.")


def test_what_an_error_says() -> None:
    assert reason(KeyError()) == "KeyError"
    assert reason(lpn.data._fetch.UserError("What to do.")) == "What to do."
