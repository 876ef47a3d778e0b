"""Downloads: from URLs and Google Drive, into a cache that several runs may share; files of data sets from their sources."""

import hashlib
import os
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar, TypeVar

from lpn.data._base import CountedSet, Images, Sources
from lpn.errors import UserError
from lpn.files import wait_for_lock

DOWNLOAD_ATTEMPTS = 5
Found = TypeVar("Found")


def cache() -> Path:
    """Return the folder of downloads that several runs may share: LPN_DOWNLOADS, or ~/.cache/lpn."""
    return Path(os.environ.get("LPN_DOWNLOADS", Path.home() / ".cache/lpn"))


def reason(error: Exception) -> str:
    """Return what an error says, or its name if it says nothing."""
    return str(error).strip() or type(error).__name__


def first_good(sources: Iterable[str], read: Callable[[str], Found], help: str) -> tuple[str, Found]:
    """Return the first source that `read` can read, and what it read.

    Raises UserError if there is none: `help`, and what is wrong with each source.
    """
    problems = []
    for source in sources:
        try:
            return source, read(source)
        except (UserError, OSError, ValueError, RuntimeError, EOFError, tarfile.TarError, zlib.error) as error:
            problems.append(f"\n  {source}: {reason(error)}")
    raise UserError(help + (" Tried:" + "".join(problems) if problems else ""))


def download(url: str, folder: str | Path) -> Path:
    """Download a file into `folder`, with a progress bar; raises OSError or ValueError.

    A download that broke off, in this process or one that was killed, goes on at the point of the break if the server can.
    """
    import requests

    path = Path(folder) / url.rsplit("/", 1)[-1]
    mirror = hashlib.md5(url.encode()).hexdigest()[:8]  # the bytes of another one may differ
    part = path.with_name(f"{path.name}.{mirror}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(DOWNLOAD_ATTEMPTS):
        time.sleep(attempt)
        try:
            _download_rest(url, part)
            break
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
            if attempt == DOWNLOAD_ATTEMPTS - 1:
                raise
    return part.replace(path)


def _download_rest(url: str, part: Path) -> None:
    """Append what is missing of a file, or all of it if the server knows no ranges."""
    import requests
    from tqdm import tqdm

    done = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, stream=True, timeout=30, headers=headers) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:  # nothing is missing
            return
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            done = 0
        size = int(response.headers.get("Content-Length", 0)) + done
        with (
            part.open("ab" if done else "wb") as file,
            tqdm(total=size or None, initial=done, unit="B", unit_scale=True, desc=part.name) as bar,
        ):
            for chunk in response.iter_content(2**12):
                bar.update(file.write(chunk))


def fetch_drive(identity: str, place: Path, *, is_folder: bool = False) -> None:
    """Download a public file or folder of Google Drive, going on with a download that broke off; raises OSError."""
    import gdown

    fetch = gdown.download_folder if is_folder else gdown.download
    try:
        fetch(id=identity, output=str(place), resume=True, retries=DOWNLOAD_ATTEMPTS - 1)
    except gdown.exceptions.DownloadError as error:  # quota, permission, a changed page
        raise OSError(str(error)) from error


class DownloadedSet(CountedSet):
    """A data set that is a folder of its name: the user's, a mirror's, or one of downloads in the cache."""

    people: ClassVar[str]  # where people find it
    files: ClassVar[tuple[str, ...]]  # which mirrors and the official source have
    official: ClassVar[str | None] = (
        None  # URL of the folder of the files; None if they must be placed, or come from a mirror
    )

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        """Return the source and the images.

        If the files can't be downloaded from a URL, or fail the checks of `read_folder`, the next URL is tried.
        """
        urls = [f"{mirror.rstrip('/')}/{self.name}" for mirror in sources.mirrors if "://" in mirror]
        for place in [sources.folder, *(Path(mirror) for mirror in sources.mirrors if "://" not in mirror)]:
            if (place / self.name).is_dir():
                return str(place / self.name), self.read_folder(place / self.name)
        target = cache() / self.name

        def fetch(url: str) -> dict[str, Images]:
            for file in self.files:
                self.fetch(f"{url}/{file}", target)
            try:
                return self.read_folder(target)
            except UserError:
                shutil.rmtree(target)
                raise

        with wait_for_lock(target.with_suffix(".lock")):
            return first_good(
                [*urls, *([self.official] if self.official else [])],
                fetch,
                help=f"{self.title} could not be downloaded. Get it from {self.people} and place it at "
                f"{sources.folder / self.name}, or name a mirror, a folder or URL, that has '{self.name}'.",
            )

    def read_folder(self, place: Path) -> dict[str, Images]:
        """Return the images of a folder, as `read` does. Raises UserError if it is incomplete or damaged."""
        raise NotImplementedError

    def fetch(self, url: str, folder: Path) -> None:
        """Download one of the files into a folder, unless it is there."""
        if not (folder / url.rsplit("/", 1)[-1]).exists():
            download(url, folder)
