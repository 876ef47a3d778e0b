"""Fetching trained models."""

import hashlib
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints

from lpn.checkpoints import read_checkpoint
from lpn.data._fetch import cache, download, fetch_drive, reason
from lpn.errors import UserError
from lpn.files import checksum, wait_for_lock, write_text

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def fetch_model(source: str, sha256: str | None = None) -> Path:
    """Return the file of a trained model.

    Args:
        source: a path, a URL, or drive:FOLDER_ID/PATH for a file of a public Google Drive folder, such as that of the LPN
            paper's authors, drive:1qtOra7EDas8gDXGHMsCfSjjIqdvnnb5E/PATH.
        sha256: the SHA-256 of the file in hexadecimal digits; by default, that of the first download from a URL.

    Raises UserError if there is no such file, or another one; for Google Drive it lists those that are there.
    """
    try:
        if source.startswith("drive:"):
            drive, _, name = source.removeprefix("drive:").partition("/")
            folder = cache() / "models" / drive
            path = folder / name
            with wait_for_lock(folder.with_suffix(".lock")):
                try:
                    if not path.exists():
                        fetch_drive(drive, folder, is_folder=True)
                except OSError:  # as if any file of the folder is unavailable; gdown never leaves partial ones
                    if not path.exists():
                        raise
            others = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.pt"))
        elif "://" in source:
            folder = cache() / "models" / hashlib.sha256(source.encode()).hexdigest()[:16]
            with wait_for_lock(folder.with_suffix(".lock")):
                path, others = _pinned(download(source, folder / "new"), folder, source, sha256), []
        else:
            path = Path(source)
            others = sorted(map(str, (path if path.is_dir() else path.parent).glob("*.pt")))
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the model {source} could not be downloaded ({reason(error)}). Download it by hand and give its path instead."
        ) from error
    if not path.is_file():
        what = "is a folder; it" if path.is_dir() else "does not exist; its folder"
        raise UserError(f"the model {source} {what} has: {', '.join(others) or 'no .pt files'}.")
    if sha256 and (found := checksum(path)) != sha256:
        raise UserError(
            f"the model {source} has the SHA-256 {found}, not {sha256} as its key 'sha256' says. Correct the key, or the "
            f"source, or download it again: remove {path}."
        )
    return path


def _pinned(new: Path, folder: Path, source: str, sha256: str | None) -> Path:
    """Move a downloaded checkpoint into a folder.

    Raises UserError if it is none, such as a web page, or another one than at first, and not the wanted one.
    """
    try:
        read_checkpoint(new)
    except UserError as error:
        raise UserError(f"the model {source} is no model: {error}") from error
    path, pin, found = folder / new.name, folder / "sha256", checksum(new)
    if pin.exists() and found not in (first := pin.read_text(), sha256):
        raise UserError(
            f"the model {source} has the SHA-256 {found}, not {first} as when it was first downloaded. Set the key 'sha256' "
            f"of the model to {found} to use the new file, or its source to {path} to use the earlier one."
        )
    new.replace(path)
    write_text(pin, found)
    return path
