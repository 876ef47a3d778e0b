"""Downloads: from URLs and Google Drive, into a cache that several runs may share; files of data sets from their sources."""

import hashlib
import os
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lpn.data._base import Images, Sources
from lpn.errors import UserError
from lpn.files import checksum, wait_for_lock

DOWNLOAD_ATTEMPTS = 5


def cache() -> Path:
    """Return the folder of downloads that several runs may share: LPN_DOWNLOADS, or ~/.cache/lpn."""
    return Path(os.environ.get("LPN_DOWNLOADS", Path.home() / ".cache/lpn"))


def reason(error: Exception) -> str:
    """Return what an error says, or its name if it says nothing."""
    return str(error).strip() or type(error).__name__


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
    part.replace(path)
    return path


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


def fetch_drive_folder(identity: str, place: Path, wanted: str) -> None:
    """Download a public folder of Google Drive for a file in it, unless it is there; raises OSError.

    gdown never leaves partial files, but fails if any file of the folder is unavailable.
    """
    if (place / wanted).exists():
        return
    try:
        fetch_drive(identity, place, is_folder=True)
    except OSError:
        if not (place / wanted).exists():
            raise


def fetch_file(name: str, drive_id: str, md5: str, mirrors: list[str]) -> Path:
    """Return a file of a known checksum from the cache, a mirror or Google Drive; downloads go to the cache.

    Files in the folders that mirrors name are used as they are. Raises OSError, which lists all that was tried.
    """
    with wait_for_lock(cache() / f"{name}.lock"):
        target = cache() / name
        if target.exists() and checksum(target, "md5") == md5:
            return target
        problems = []
        for mirror in [*mirrors, "Google Drive"]:
            try:
                if mirror == "Google Drive":
                    fetch_drive(drive_id, target)
                elif "://" in mirror:
                    download(f"{mirror.rstrip('/')}/{name}", cache())
                elif (Path(mirror) / name).exists():
                    return Path(mirror) / name
                if not target.exists():
                    problems.append(f"{mirror}: not there")
                elif checksum(target, "md5") == md5:
                    return target
                else:
                    target.unlink()
                    problems.append(f"{mirror}: wrong checksum, so truncated or damaged")
            except (OSError, ValueError, RuntimeError) as error:
                problems.append(f"{mirror}: {reason(error)}")
    raise OSError("\n  ".join(problems))


@dataclass(frozen=True)
class Origin:
    """Where a data set that is a folder of files comes from.

    Attributes:
        title: its name in messages.
        people: where people find it.
        folder: its folder in the user's data folder and in mirrors.
        files: its files, which mirrors and the official source have.
        official: the URL of the folder of the files; None if they must be placed by hand, or come from a mirror.
        fetch: downloads a URL into a folder, unless what it brings is there.
    """

    title: str
    people: str
    folder: str
    files: tuple[str, ...]
    official: str | None = None
    fetch: Callable[[str, Path], None] | None = None

    def read(self, sources: Sources, read: Callable[[Path], dict[str, Images]]) -> tuple[str, dict[str, Images]]:
        """Return the source and what `read` makes of its folder: the user's, a mirror's, or one of downloads in the cache.

        If the files can't be downloaded from a URL, or fail the checks of `read`, the next URL is tried. Raises UserError.
        """
        known = [sources.folder, *(Path(mirror) for mirror in sources.mirrors if "://" not in mirror)]
        places = [place / self.folder for place in known]
        place = next((place for place in places if place.is_dir()), None)
        if place:
            return str(place), read(place)
        urls = [f"{mirror.rstrip('/')}/{self.folder}" for mirror in sources.mirrors if "://" in mirror]
        target, problems = cache() / self.folder, []
        with wait_for_lock(target.with_suffix(".lock")):
            for url in [*urls, *([self.official] if self.official else [])]:
                try:
                    for file in self.files:
                        (self.fetch or _fetch_once)(f"{url}/{file}", target)
                except (OSError, ValueError, EOFError, tarfile.TarError, zlib.error) as error:
                    problems.append(f"\n  {url}: {reason(error)}")
                    continue
                try:
                    return url, read(target)
                except UserError as error:
                    problems.append(f"\n  {url}: {error}")
                    shutil.rmtree(target)
        raise UserError(
            f"{self.title} could not be downloaded. Get it from {self.people} and place it at {places[0]}, or name a "
            f"mirror, a folder or URL, that has '{self.folder}'." + (" Tried:" + "".join(problems) if problems else "")
        )


def _fetch_once(url: str, folder: Path) -> None:
    """Download a file into a folder, unless it is there."""
    if not (folder / url.rsplit("/", 1)[-1]).exists():
        download(url, folder)
