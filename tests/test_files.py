import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from lpn.errors import run_cli
from lpn.files import atomic_path, check_place, checksum, try_lock, write_json, write_text


def test_failed_writes_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the ne")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_one_paragraph_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    write_text(path, "old")

    def main() -> None:
        with atomic_path(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SystemExit, match=f"no space left on the device while writing {path}.*free some space"):
        run_cli(main)
    assert path.read_text() == "old"


def test_a_place_that_is_closed_is_one_paragraph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the image of a container; root may write to folders without permission, so the system's answer is made up."""

    def closed(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", closed)
    text = f"error: {tmp_path}/a.txt: Read-only file system. Choose another place, or change its"
    with pytest.raises(SystemExit, match=text):
        run_cli(lambda: write_text(tmp_path / "a.txt", ""))


def test_other_system_errors_keep_their_traceback() -> None:
    def main() -> None:
        raise PermissionError(errno.EACCES, "denied")

    with pytest.raises(PermissionError):
        run_cli(main)


def test_folders_are_made_and_nan_is_no_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a/b/c.json", {"b": 1, "a": [2]})
    assert (tmp_path / "a/b/c.json").read_text() == '{\n  "a": [\n    2\n  ],\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "bad.json", float("nan"))


WRITER = """
import sys, time
from lpn.errors import run_cli
from lpn.files import atomic_path
def main():
    with atomic_path(sys.argv[1], suffix=".npy") as path:
        path.write_text("a part")
        print("begun", flush=True)
        time.sleep(60)
run_cli(main)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes x.npy for a minute."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "x.npy")], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "begun\n"
        yield job
        job.kill()


def test_an_ended_job_leaves_no_temporary_file(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    writer.terminate()
    assert writer.wait(30) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_checksum_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/x").write_text("1")
    first = checksum(tmp_path / "a")
    os.utime(tmp_path / "a/b/x", (0, 0))
    assert checksum(tmp_path / "a") == first
    (tmp_path / "a/b/x").rename(tmp_path / "a/b/y")
    second = checksum(tmp_path / "a")
    (tmp_path / "a/b/y").write_text("2")
    assert len({first, second, checksum(tmp_path / "a")}) == 3


def write_again(path: Path) -> list[Path]:
    """Write a file; return all others of its folder."""
    with atomic_path(path, suffix=".npy") as temporary:
        temporary.write_text("whole")
    return [other for other in path.parent.iterdir() if other != path]


def test_the_file_of_a_killed_job_is_removed_by_the_next(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    (left,) = write_again(tmp_path / "x.npy")  # the other process still writes it
    assert left.read_text() == "a part"
    writer.kill()
    writer.wait()
    assert left in write_again(tmp_path / "x2.npy")  # of another file
    foreign = tmp_path / ".x.npy.swp"
    foreign.touch()
    assert sorted(write_again(tmp_path / "x.npy")) == [foreign, tmp_path / "x2.npy"]


def test_without_locks_nothing_is_removed(
    tmp_path: Path, writer: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    writer.kill()
    writer.wait()
    assert len(write_again(tmp_path / "x.npy")) == 1


def test_a_file_that_is_taken_for_stale_before_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer removes it between its creation and its lock: then another one is made."""
    removed = []

    def late(path: Path) -> IO[str] | None:
        lock = try_lock(path)
        if not removed:
            path.unlink()
            removed.append(path)
        return lock

    monkeypatch.setattr("lpn.files.try_lock", late)
    assert write_again(tmp_path / "x.npy") == []
    assert removed


def test_many_writers_of_one_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda i: write_text(tmp_path / "x", f"{i}" * 999), range(200)))
    (path,) = tmp_path.iterdir()
    assert len(set(path.read_text())) <= 3
    assert len(path.read_text()) in (999, 1998, 2997)


def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "x", "")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("place", ["folder", "file/a.txt", f"{'a' * 249}.txt", "dangling/a.txt"])
def test_places_where_nothing_can_be_written_are_one_paragraph(place: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "disk that is not there/results")
    for write in (check_place, lambda path: write_text(path, "")):
        with pytest.raises(SystemExit, match=f"error: {tmp_path}/{place}: .*Choose another place"):
            run_cli(lambda write=write: write(tmp_path / place))


def test_checking_a_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    check_place(tmp_path / "a.txt")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old"}
