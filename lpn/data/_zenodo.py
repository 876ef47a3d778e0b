"""Files of a Zenodo record, listed by Zenodo's public REST API, and the arrays in them."""

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from lpn.data._fetch import answer, download
from lpn.errors import UserError
from lpn.files import checksum, write_text

API = "https://zenodo.org/api/records"


def record_files(record: str) -> list[dict[str, Any]]:
    """Return what the API says of the files of a record: key (the name), checksum ("md5:...") and links.self (the URL).

    Raises OSError if there is no answer, ValueError or KeyError for another one.
    """
    with answer(f"{API}/{record}") as found:
        found.raise_for_status()
        return list(found.json()["files"])


def fetch_record(record: str, folder: Path) -> list[Path]:
    """Download the files of a record into a folder, those that are not there.

    Raises OSError, ValueError or KeyError as `record_files` does, and UserError for a file without its checksum.
    """
    paths = []
    for number, file in enumerate(record_files(record)):
        path = folder / Path(file["key"]).name
        algorithm, _, expected = file["checksum"].partition(":")
        if not path.exists() or checksum(path, algorithm) != expected:
            new = download(file["links"]["self"], folder / str(number))  # its URL ends in "content", whatever its name
            if (found := checksum(new, algorithm)) != expected:
                new.unlink()
                raise UserError(f"{path.name} has the {algorithm} {found}, not {expected} as the record says. Try again.")
            new.replace(path)
        paths.append(path)
    return paths


def arrays(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the .npy files that a file is, or has inside if it is a zip archive: their names, and what to read them from."""
    if path.suffix == ".npy":
        with path.open("rb") as file:
            yield path.name, file
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".npy"):
                    with archive.open(name) as file:
                        yield name, file


def save(stream: IO[bytes], path: Path) -> None:
    """Write what a stream holds to a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(stream, file)


def check_pin(folder: Path) -> None:
    """Record the checksum of a folder beside it on its first use. Raises UserError if it is another one later."""
    pin, found = folder.with_suffix(".sha256"), checksum(folder)
    if not pin.exists():
        write_text(pin, found)
    elif found != (first := pin.read_text(encoding="utf-8")):
        raise UserError(
            f"{folder} has the SHA-256 {found}, not {first} as on its first use. Remove the folder to download it again; "
            f"remove {pin}, too, to accept other files from then on."
        )
