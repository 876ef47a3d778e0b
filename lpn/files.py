"""Atomic file writing: a reader sees the old file or the whole new one, never a part. Checksums. Locks."""

import errno
import glob
import hashlib
import json
import os
import secrets
import time
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from lpn.errors import UserError

WRITTEN: set[Path] = set()  # what this process wrote by `atomic_path`


@contextmanager
def atomic_path(path: str | Path, suffix: str = "") -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends without an error.

    The temporary file is flushed to disk before the rename and removed when the block fails, so a killed
    job or a full disk leaves the previous `path` as it was. `suffix` serves writers that look at the name.
    It is locked while it is written, so the next writer of `path` removes what a killed one left.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path, suffix)
        temporary, lock = _new_file(path, suffix)
        with lock:
            try:
                yield temporary
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
                temporary.replace(path)
                WRITTEN.add(path)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        error.filename = str(path)
        raise


def check_place(path: str | Path) -> None:
    """Raise OSError, with the path, if no file can be written there: before the work whose result it will be."""
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, lock = _new_file(path, "")
        with lock:
            temporary.unlink()
    except OSError as error:
        error.filename = str(path)
        raise


def _new_file(path: Path, suffix: str) -> tuple[Path, IO[str]]:
    """Return a new hidden file beside `path`, and its lock."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{suffix}")
        if lock := try_lock(temporary):
            if temporary.exists():
                return temporary, lock
            lock.close()  # another writer took it for a stale one before it was locked


def _remove_stale(path: Path, suffix: str) -> None:
    """Remove the files of `_new_file` that no process writes; none on a file system without locks."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 16}{suffix}"):
        with suppress(OSError), left.open("r+", encoding="utf-8") as file:  # gone, or another user's
            if _lock(file):
                left.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys; NaN and infinity are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_array(file: str | Path | IO[bytes], **options: Any) -> np.ndarray:
    """Return the real array that an .npy file holds. Raises ValueError for whatever else it may hold, or its damage."""
    try:
        array = np.load(file, allow_pickle=False, **options)
    except (OSError, EOFError, SyntaxError, tokenize.TokenError, TypeError, MemoryError) as error:  # of damaged headers
        raise ValueError(str(error) or type(error).__name__) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("an archive of several arrays")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{array.dtype} where real numbers belong")
    return array


def checksum(path: str | Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a file, or of the names and bytes of all files in a folder, by an algorithm of `hashlib`."""
    if (folder := Path(path)).is_dir():
        inside = sorted(file for file in folder.rglob("*") if file.is_file())
        lines = "".join(f"{file.relative_to(folder).as_posix()} {checksum(file, algorithm)}\n" for file in inside)
        return hashlib.new(algorithm, lines.encode()).hexdigest()
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def try_lock(path: str | Path) -> IO[str] | None:
    """Lock `path`, which is made, until the returned file is closed or the process ends, however; None if another has it.

    On a file system without locks nothing is locked and no one waits.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 - whoever holds the lock closes it
    if _lock(file) is False:
        file.close()
        return None
    return file


def _lock(file: IO[str]) -> bool | None:
    """Lock an open file. Return whether that succeeded: False if another has the lock, None if there are no locks.

    Raises UserError on Windows, where an open file can't be renamed either.
    """
    try:
        import fcntl
    except ImportError as error:
        raise UserError("Files are written on Linux and macOS only. On Windows, use WSL 2, which is a Linux.") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            raise
        return None
    return True


@contextmanager
def wait_for_lock(path: str | Path) -> Iterator[None]:
    """Hold the lock of `try_lock`, once it is free."""
    while (lock := try_lock(path)) is None:
        time.sleep(0.2)
    with lock:
        yield
