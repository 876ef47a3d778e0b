"""CelebA: aligned faces, centre-cropped, by the official partition."""

import re
import zipfile
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from pydantic import Field, PositiveInt

from lpn.data._base import CountedSet, Images, Sizes, Sources
from lpn.data._fetch import cache, download, fetch_drive, first_good
from lpn.data._images import read_image
from lpn.errors import UserError
from lpn.files import checksum, wait_for_lock

SIDE = 128
ALIGNED = (218, 178)  # height, width of the aligned images
TEST = slice(100, 120)  # of the official validation partition: the images that the paper evaluates
PARTITION, IMAGES = "list_eval_partition.txt", "img_align_celeba"


class CelebA(CountedSet):
    """CelebA, aligned and centre-cropped: uint8 (n, 3, 128, 128).

    The folder `celeba/celeba` or `celeba` of the data folder holds list_eval_partition.txt or .csv, and img_align_celeba.zip
    or the unpacked img_align_celeba/; what is missing comes from the mirrors or the official Google Drive.
    """

    title = "CelebA"
    channels = 3
    count: PositiveInt | None = Field(
        default=162770, description="the number of training images; null accepts what is there"
    )

    def sizes(self, split: str) -> Sizes:
        return [(SIDE, SIDE, {"train": self.count, "test": TEST.stop - TEST.start}.get(split))]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        places = [sources.folder / "celeba/celeba", sources.folder / "celeba"]

        def file(*found: str) -> Path:
            own = next((place / name for place in places for name in found if (place / name).exists()), None)
            return own or _file(found[0], places[0], sources.mirrors)

        names = self._names(file(PARTITION, "list_eval_partition.csv"))
        folders = [place / name for place in places for name in (f"{IMAGES}/{IMAGES}", IMAGES)]  # as some archives unpack
        path = next(filter(Path.is_dir, folders), None) or file(f"{IMAGES}.zip")
        try:
            archive = None if path.is_dir() else zipfile.ZipFile(path)  # nothing is unpacked to paths that it names
        except zipfile.BadZipFile as error:
            raise UserError(f"{path} is damaged or no zip archive ({error}). Delete it and fetch it again.") from error
        entries = {PurePosixPath(name).name: name for name in archive.namelist()} if archive else {}
        return str(path), {
            split: [partial(_crop, archive, path / name, entries.get(name, name)) for name in names[split]]
            for split in names
        }

    def _names(self, partition: Path) -> dict[str, list[str]]:
        """Return the names of the images of each split."""
        parts: dict[str, str] = {}
        for number, line in enumerate(partition.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
            if not line.strip() or line.startswith("image_id,"):  # of the .csv
                continue
            match = re.fullmatch(r"(\d{6}\.jpg)[\s,]+([012])\s*", line)
            if not match:
                raise UserError(
                    f"{partition}, line {number}: {line!r} is not '<six digits>.jpg <0, 1 or 2>'. Fetch it again."
                )
            name, part = match.groups()
            if name in parts:
                raise UserError(f"{partition}, line {number}: {name} is named twice. Fetch it again.")
            parts[name] = part
        train, held_back = (sorted(name for name in parts if parts[name] == part) for part in ("0", "1"))
        self.check_count(len(train), partition)
        if not train or len(held_back) < TEST.stop:
            raise UserError(
                f"{partition} names {len(train)} training and {len(held_back)} validation images; at least 1 and "
                f"{TEST.stop} are needed: validation images {TEST.start} to {TEST.stop - 1} are the test."
            )
        validation = held_back[: TEST.start] + held_back[TEST.stop :]
        return {"train": train, "validation": validation, "test": held_back[TEST]}


def _file(name: str, place: Path, mirrors: Sequence[str]) -> Path:
    """Return an official file, from a folder of the mirrors, or downloaded to the cache."""
    from torchvision.datasets import CelebA as Official

    folder = cache()
    target = folder / name
    drive_id, md5 = next((entry[0], entry[1]) for entry in Official.file_list if entry[2] == name)

    def fetch(source: str) -> Path:
        if source == "Google Drive":
            fetch_drive(drive_id, target)
        elif "://" in source:
            download(f"{source.rstrip('/')}/{name}", folder)
        elif (Path(source) / name).exists():
            return Path(source) / name
        if not target.exists():
            raise FileNotFoundError("not there")
        if checksum(target, "md5") != md5:
            target.unlink()
            raise ValueError("wrong checksum, so truncated or damaged")
        return target

    remedy = f"Place it in {place}, or name a mirror, a folder or URL, that has it."
    with wait_for_lock(folder / f"{name}.lock"):
        if target.exists() and checksum(target, "md5") == md5:
            return target
        return first_good([*mirrors, "Google Drive"], fetch, help=f"CelebA's {name} could not be downloaded. {remedy}")[1]


def _crop(archive: zipfile.ZipFile | None, path: Path, entry: str) -> np.ndarray:
    """Return the centre of an image, a file or the entry of an archive, as torchvision's CenterCrop(128) cuts it out."""
    try:
        content = archive and archive.read(entry)
    except (KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # RuntimeError: encrypted
        raise UserError(f"{path} is missing or damaged ({error}). Fetch the archive again.") from error
    image = read_image(path, grey=False, content=content)
    if image.shape[1:] != ALIGNED:
        raise UserError(f"{path} is {image.shape[2]}x{image.shape[1]}; aligned CelebA images are 178x218.")
    return image[:, 45:173, 25:153]
