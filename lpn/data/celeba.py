"""CelebA: aligned faces, centre-cropped, by the official partition."""

import io
import re
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from lpn.data._base import DataSet, Images, Sources
from lpn.data._fetch import fetch_file
from lpn.data._images import check_count
from lpn.errors import UserError

SIDE = 128
ALIGNED = (178, 218)  # width, height of the aligned images
TEST = slice(100, 120)  # of the official validation partition: the images that the paper evaluates
PARTITION, IMAGES = "list_eval_partition.txt", "img_align_celeba"


class CelebA(DataSet):
    """CelebA, aligned and centre-cropped: uint8 (n, 3, 128, 128).

    The folder `celeba/celeba` of the data folder holds list_eval_partition.txt and img_align_celeba.zip or the unpacked
    img_align_celeba/; what is missing comes from the mirrors or the official Google Drive. Attribute files are not needed.
    """

    count: PositiveInt | None = Field(
        default=162770, description="the number of training images; null accepts what is there"
    )

    @property
    def channels(self) -> int:
        """3: images have colours."""
        return 3

    @property
    def same_everywhere(self) -> bool:
        """Yes, if the training images must be complete."""
        return self.count is not None

    def sizes(self, split: str) -> list[tuple[int, int, int | None]]:
        """Return the one size of all images."""
        known = {"train": self.count, "test": TEST.stop - TEST.start}
        return [(SIDE, SIDE, known.get(split))]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        """Read the partition and check the number of images: see `DataSet.read`."""
        place = sources.folder / "celeba/celeba"
        partition = _file(PARTITION, place, sources.mirrors)
        images = place / IMAGES
        if (images / IMAGES).is_dir():  # as some archives unpack
            images /= IMAGES
        if not images.is_dir():
            images = _file(f"{IMAGES}.zip", place, sources.mirrors)
        names = self._names(partition)
        reader = _folder_reader(images) if images.is_dir() else _zip_reader(images)
        return str(images), {split: [partial(_crop, reader, name) for name in names[split]] for split in names}

    def _names(self, partition: Path) -> dict[str, list[str]]:
        """Return the names of the images of each split."""
        chosen = _read_partition(partition)
        check_count("CelebA", len(chosen["0"]), self.count, partition)
        if not chosen["0"] or len(chosen["1"]) < TEST.stop:
            raise UserError(
                f"{partition} names {len(chosen['0'])} training and {len(chosen['1'])} validation images; at least 1 and "
                f"{TEST.stop} are needed: validation images {TEST.start} to {TEST.stop - 1} are the test."
            )
        held_back = sorted(chosen["1"])
        return {
            "train": sorted(chosen["0"]),
            "validation": held_back[: TEST.start] + held_back[TEST.stop :],
            "test": held_back[TEST],
        }


def _read_partition(partition: Path) -> dict[str, list[str]]:
    """Return the names of the images of the official parts 0, 1 and 2."""
    chosen: dict[str, list[str]] = {"0": [], "1": [], "2": []}
    seen: set[str] = set()
    for number, line in enumerate(partition.read_text(errors="replace").splitlines(), 1):
        name, _, part = line.partition(" ")
        if part.strip() not in chosen or not re.fullmatch(r"\d{6}\.jpg", name):
            raise UserError(f"{partition}, line {number}: {line!r} is not '<six digits>.jpg <0, 1 or 2>'. Fetch it again.")
        if name in seen:
            raise UserError(f"{partition}, line {number}: {name} is named twice. Fetch it again.")
        seen.add(name)
        chosen[part.strip()].append(name)
    return chosen


def _file(name: str, place: Path, mirrors: list[str]) -> Path:
    """Return an official file, from the user's folder, a mirror or Google Drive."""
    if (place / name).exists():
        return place / name
    from torchvision.datasets import CelebA as Official

    drive_id, md5 = next((entry[0], entry[1]) for entry in Official.file_list if entry[2] == name)
    try:
        return fetch_file(name, drive_id, md5, mirrors)
    except OSError as error:
        raise UserError(
            f"CelebA's {name} could not be downloaded. Place it in {place}, or name a mirror, a folder or URL, that has it. "
            f"Tried:\n  {error}"
        ) from error


def _folder_reader(folder: Path) -> Callable[[str], tuple[str, bytes]]:
    """Return a function that reads an image of a folder: its place and its bytes."""

    def read(name: str) -> tuple[str, bytes]:
        try:
            return str(folder / name), (folder / name).read_bytes()
        except OSError as error:
            raise UserError(
                f"{folder / name}, which the partition file names, can't be read ({error.strerror}). Unpack it again."
            ) from error

    return read


def _zip_reader(archive: Path) -> Callable[[str], tuple[str, bytes]]:
    """Return a function that reads an image out of the archive: nothing is unpacked to paths that it names."""
    try:
        file = zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        raise UserError(f"{archive} is damaged or no zip archive ({error}). Delete it and fetch it again.") from error

    def read(name: str) -> tuple[str, bytes]:
        try:
            return f"{archive}:{name}", file.read(f"{IMAGES}/{name}")
        except (KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # RuntimeError: encrypted
            raise UserError(f"{archive}: image {name} is missing or damaged ({error}). Fetch the archive again.") from error

    return read


def _crop(reader: Callable[[str], tuple[str, bytes]], image_name: str) -> np.ndarray:
    """Decode one image and cut out its centre, as torchvision's CenterCrop(128) does."""
    from PIL import Image

    name, content = reader(image_name)
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode, pixels = image.mode, np.asarray(image.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise UserError(f"{name} is truncated or no image ({error}). Fetch it again.") from error
    if pixels.shape[1::-1] != ALIGNED:
        raise UserError(f"{name} is {pixels.shape[1]}x{pixels.shape[0]}; aligned CelebA images are 178x218.")
    if mode != "RGB":
        raise UserError(f"{name} is of mode {mode}; CelebA images have three colour channels (RGB). Fetch it again.")
    return np.ascontiguousarray(pixels[45:173, 25:153].transpose(2, 0, 1))
