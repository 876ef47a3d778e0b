"""Fetching trained models."""

import hashlib
from pathlib import Path

from lpn.data._fetch import cache, download, fetch_drive, reason
from lpn.errors import UserError
from lpn.files import wait_for_lock


def fetch_model(source: str) -> Path:
    """Return the file of a trained model.

    Args:
        source: a path, a URL, or drive:FOLDER_ID/PATH for a file of a public Google Drive folder, such as that of the LPN
            paper's authors, drive:1qtOra7EDas8gDXGHMsCfSjjIqdvnnb5E/PATH.

    Raises UserError if there is no such file; for Google Drive it lists those that are there.
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
                path, others = download(source, folder), []
        else:
            path, others = Path(source), sorted(map(str, Path(source).parent.glob("*.pt")))
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the model {source} could not be downloaded ({reason(error)}). Download it by hand and give its path instead."
        ) from error
    if not path.is_file():
        raise UserError(f"the model {source} does not exist; its folder has: {', '.join(others) or 'no .pt files'}.")
    return path
