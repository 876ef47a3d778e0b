"""Downloads: from URLs and Google Drive, into a cache that several runs may share; files of data sets from their sources."""

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar, TypeVar
from urllib.parse import urlsplit

from lpn.data._base import CountedSet, Images, Sources
from lpn.errors import NO_SPACE, UserError
from lpn.files import wait_for_lock, write_json

if TYPE_CHECKING:
    from requests import Response

SECONDS = 8  # for a server to answer
DOWNLOAD_ATTEMPTS = 5  # once a transfer has begun; a server that can't be reached is not asked again
DAMAGED = (tarfile.TarError, zlib.error, zipfile.BadZipFile)  # archives
Found = TypeVar("Found")


def cache() -> Path:
    """Return the folder of downloads that several runs may share: LPN_DOWNLOADS, or ~/.cache/lpn.

    Raises UserError if it can't be written.
    """
    folder = Path(os.environ.get("LPN_DOWNLOADS") or "~/.cache/lpn")
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        raise UserError(
            f"downloads can't be written to {folder} ({reason(error)}). Set the environment variable LPN_DOWNLOADS to a "
            "folder that can be written."
        ) from error
    return folder


def reason(error: BaseException) -> str:
    """Return what an error says, or its name if it says nothing; of a failed connection, why it failed."""
    import requests
    from urllib3.exceptions import HTTPError

    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return "no space left. Free some, or set the environment variable LPN_DOWNLOADS to another folder for downloads"
    if isinstance(error, requests.ConnectionError | HTTPError):
        while error.__context__:
            error = error.__context__
    return str(getattr(error, "strerror", None) or error).strip() or type(error).__name__


def first_good(sources: Iterable[str], read: Callable[[str], Found], help: str) -> tuple[str, Found]:
    """Return the first source that `read` can read, and what it read.

    Raises UserError if there is none: `help`, and what is wrong with each source.
    """
    problems = []
    for source in sources:
        try:
            return source, read(source)
        except (UserError, OSError, ValueError, RuntimeError, EOFError, KeyError, *DAMAGED) as error:
            problems.append(f"\n  {source}: {reason(error)}")
    raise UserError(help + (" Tried:" + "".join(problems) if problems else ""))


def answer(url: str, headers: Mapping[str, str] = {}) -> "Response":
    """Return a server's answer, whose content is still to be read. Raises OSError if there is none within some seconds.

    The limits of requests are for each address of a server, and none is for the look-up of its name.
    """
    import requests

    found: Future[Response] = Future()

    def ask() -> None:
        try:
            found.set_result(requests.get(url, stream=True, timeout=30, headers=headers))
        except Exception as error:
            found.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return found.result(SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"{urlsplit(url).netloc} does not answer within {SECONDS} s") from error


def download(url: str, folder: str | Path) -> Path:
    """Download a file into `folder`, with a progress bar; raises OSError or ValueError.

    A download that broke off, in this process or one that was killed, goes on at the point of the break if the server can
    and still has the same file.
    """
    import requests
    from urllib3.exceptions import HTTPError

    path = Path(folder) / (PurePosixPath(urlsplit(url).path).name or "file")
    mirror = hashlib.md5(url.encode()).hexdigest()[:8]  # the bytes of another one may differ
    part = path.with_name(f"{path.name}.{mirror}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    failures, attempts = 0, 1
    while True:
        try:
            with _rest(url, part) as response:
                response.raise_for_status()
                attempts = DOWNLOAD_ATTEMPTS
                _save(response, part)
            _version_file(part).unlink(missing_ok=True)
            return part.replace(path)
        except (TimeoutError, requests.ConnectionError, HTTPError) as error:
            failures += 1
            if failures == attempts:
                raise OSError(f"{reason(error)}, {failures} times" if failures > 1 else reason(error)) from error
            time.sleep(failures)


def _rest(url: str, part: Path) -> "Response":
    """Ask for what is missing of a file: all of it, unless the server knows ranges and has the version that `part` is of."""
    headers, version = {"Accept-Encoding": "identity"}, _version_file(part)
    if part.exists() and version.exists():
        known = json.loads(version.read_text())
        rest = answer(url, headers | {"Range": f"bytes={part.stat().st_size}-", "If-Range": known[0]})
        if rest.status_code == 206 and all(new in ("", old) for new, old in zip(_version(rest), known, strict=True)):
            return rest
        part.unlink()
        if rest.status_code == 200:
            return rest
        rest.close()
    part.unlink(missing_ok=True)
    return answer(url, headers)


def _version_file(part: Path) -> Path:
    return part.with_suffix(".version")


def _version(response: "Response") -> list[str]:
    """Return what tells versions of a file apart, as far as the server says it: a strong ETag or the date, and the size."""
    headers = response.headers
    tag = headers.get("ETag", "")
    size = headers.get("Content-Range", "").rpartition("/")[2].strip("*") or headers.get("Content-Length", "")
    return [tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", ""), size]


def _save(response: "Response", part: Path) -> None:
    """Append the content of an answer to a file, as it is on the server. Raises ConnectionError if it is too short."""
    import requests
    from tqdm import tqdm

    validator, size = _version(response)
    if validator and not part.exists():
        write_json(_version_file(part), [validator, size])
    with (
        part.open("ab") as file,
        tqdm(total=int(size) if size else None, initial=file.tell(), unit="B", unit_scale=True, desc=part.name) as bar,
    ):
        for chunk in response.raw.stream(2**12, decode_content=False):
            bar.update(file.write(chunk))
        if size and file.tell() != int(size):
            raise requests.ConnectionError(f"{file.tell()} bytes came, not {size}")


def fetch_drive(identity: str, place: Path, *, is_folder: bool = False) -> None:
    """Download a public file or folder of Google Drive, going on with a download that broke off; raises OSError."""
    import gdown

    answer("https://drive.google.com").close()  # gdown would try again and again without a network
    fetch = gdown.download_folder if is_folder else gdown.download
    try:
        fetch(id=identity, output=str(place), resume=True, retries=DOWNLOAD_ATTEMPTS - 1, timeout=30)
    except gdown.exceptions.DownloadError as error:  # quota, permission, a changed page
        raise OSError(str(error)) from error


class DownloadedSet(CountedSet):
    """A data set that is a folder of its name, or that of another set whose files it shares.

    The folder is the user's, a mirror's, or one of downloads in the cache.
    """

    people: ClassVar[str]  # where people find it
    files: ClassVar[tuple[str, ...]]  # which mirrors and the official source have
    official: ClassVar[str | None] = (
        None  # URL of the folder of the files; None if they must be placed, or come from a mirror
    )

    @property
    def home(self) -> str:
        """The name of its folder."""
        return self.name

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        """Return the source and the images.

        If the files can't be downloaded from a URL, or fail the checks of `read_folder`, the next URL is tried. A folder of
        the cache has files of one URL that passed the checks; it is never removed, because other jobs may read its images.
        """
        urls = [f"{mirror.rstrip('/')}/{self.home}" for mirror in sources.mirrors if "://" in mirror]
        for place in [sources.folder, *(Path(mirror) for mirror in sources.mirrors if "://" not in mirror)]:
            if (own := place / self.home).is_dir() or own.is_symlink():  # perhaps to a disk that is not there
                return str(own), self.read_folder(own)
        folder = cache() / self.home

        def fetch(url: str) -> dict[str, Images]:
            target = folder / hashlib.md5(url.encode()).hexdigest()[:8]
            if not target.exists():
                new = target.with_suffix(".new")
                for file in self.files:
                    self.fetch(f"{url}/{file}", new)
                try:
                    self.read_folder(new)
                except UserError:
                    shutil.rmtree(new)
                    raise
                new.rename(target)
            return self.read_folder(target)

        with wait_for_lock(folder.with_suffix(".lock")):
            return first_good(
                [*urls, *([self.official] if self.official else [])],
                fetch,
                help=f"{self.title} could not be downloaded. Get it from {self.people} and place it at "
                f"{sources.folder / self.home}, or name a mirror, a folder or URL, that has '{self.home}'.",
            )

    def read_folder(self, place: Path) -> dict[str, Images]:
        """Return the images of a folder, as `read` does. Raises UserError if it is incomplete or damaged."""
        raise NotImplementedError

    def fetch(self, url: str, folder: Path) -> None:
        """Download one of the files into a folder, unless it is there."""
        if not (folder / url.rsplit("/", 1)[-1]).exists():
            download(url, folder)
