import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lpn.errors import run_cli
from lpn.files import atomic_path, checksum, write_json, write_text


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


def test_an_ended_job_leaves_no_temporary_file(tmp_path: Path) -> None:
    program = """
import sys, time
from lpn.errors import run_cli
from lpn.files import atomic_path
def main():
    with atomic_path(sys.argv[1]) as path:
        path.write_text("a part")
        print("begun", flush=True)
        time.sleep(60)
run_cli(main)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
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
