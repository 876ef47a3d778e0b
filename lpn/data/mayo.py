"""Mayo-CT: slices of the LPN paper's authors, of the Mayo Clinic's low-dose challenge."""

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from lpn.data._base import CountedSet, Images, Sizes, Sources
from lpn.data._fetch import cache, fetch_drive, first_good
from lpn.data._zenodo import arrays, check_pin, fetch_record, save
from lpn.errors import UserError
from lpn.files import read_array, wait_for_lock

FOLDER = "mayo_data_arranged_patientwise"
DRIVE_FOLDER = "1gKytBtkTtGxBLRcNInx2OLty4Gie3pCX"  # named by the LPN paper's authors
RECORD = "8302121"  # of Zenodo, 10.5281/zenodo.8302121: an anonymous copy of the test slices
TESTS = 128  # slices of patient L109
VALIDATION = 8  # the last training slices, held back
SIDE = 512


class Mayo(CountedSet):
    """Mayo-CT: float32 (n, 1, 512, 512) in [0, 1], from {train,test}/Phantom/*.npy in the order of their numbers.

    The last 8 training slices are held back for validation.
    """

    title = "Mayo-CT"
    channels = 1
    count: PositiveInt | None = Field(
        default=None, description="the number of training slices, with the 8 held back; null accepts what is there"
    )

    def sizes(self, split: str) -> Sizes:
        known = {"train": self.count and self.count - VALIDATION, "validation": VALIDATION}
        return [(SIDE, SIDE, known.get(split))]

    def read(self, sources: Sources) -> tuple[str, dict[str, Images]]:
        """Return the source and the slices: the user's, a mirror's, those of the authors' folder, or those of Zenodo.

        The record of Zenodo has no training slices, so networks that were trained elsewhere can be tested on it, no more.
        """
        own = sources.folder / "mayoct"
        mirrors = [Path(mirror) / FOLDER for mirror in sources.mirrors if "://" not in mirror]
        place = next((place for place in [own / FOLDER, own, *mirrors] if place.is_dir()), None)
        if place:
            return str(place), self._arranged(place)
        downloads = {"Google Drive": lambda: self._arranged(_from_drive()), f"Zenodo, record {RECORD}": self._from_zenodo}
        return first_good(
            downloads,
            lambda source: downloads[source](),
            help=f"Mayo-CT could not be downloaded. Place the folder '{FOLDER}' at {own / FOLDER}, or name a mirror, a "
            "folder that has it.",
        )

    def _arranged(self, place: Path) -> dict[str, Images]:
        """Return the slices of a folder as the authors arranged it."""
        train, test = _numbered(place / "train/Phantom"), _numbered(place / "test/Phantom")
        self.check_count(len(train), place / "train/Phantom")
        if len(train) <= VALIDATION:
            raise UserError(f"{place / 'train/Phantom'} has {len(train)} slices; more than {VALIDATION} are needed.")
        return {"train": _slices(train[:-VALIDATION]), "validation": _slices(train[-VALIDATION:]), "test": _slices(test)}

    def _from_zenodo(self) -> dict[str, Images]:
        """Return the slices of the Zenodo record, without any for training, from the cache."""
        folder = cache() / "mayoct-zenodo"
        self.check_count(0, folder)
        with wait_for_lock(folder.with_suffix(".lock")):
            if not folder.exists():
                _unpack(fetch_record(RECORD, folder.with_suffix(".parts")), folder.with_suffix(".new")).rename(folder)
                shutil.rmtree(folder.with_suffix(".parts"))
            check_pin(folder)
        print(f"note: Zenodo's record {RECORD} has the test slices of Mayo-CT, but none for training.")
        validation, test = (_slices(_numbered(folder / split)) for split in ("validation", "test"))
        return {"train": np.zeros((0, 1, SIDE, SIDE), np.float32), "validation": validation, "test": test}


def _from_drive() -> Path:
    """Return the folder that the authors share, from the cache."""
    folder = cache() / "mayoct"
    with wait_for_lock(folder.with_suffix(".lock")):
        if not (folder / "finished").exists():
            fetch_drive(DRIVE_FOLDER, folder, is_folder=True)
        if not (found := next(folder.rglob(FOLDER), None)):
            raise UserError(f"the shared folder has no '{FOLDER}'")
        (folder / "finished").touch()
    return found


def _unpack(files: list[Path], folder: Path) -> Path:
    """Copy the slices of the record's files to folder/{validation,test}. Raises UserError unless all test slices are there.

    What the record looks like inside is assumed: slices are .npy files, perhaps in zip archives, whose path has the word
    phantom, and test or val. Its FBPs and sinograms are not used.
    """
    shutil.rmtree(folder, ignore_errors=True)
    names = []
    for file in files:
        for name, content in arrays(file):
            names.append(name)
            path = f"{file.stem}/{name}".lower()
            split = "test" if "test" in path else "validation" if "val" in path else None
            if split and "phantom" in path:
                save(content, folder / split / Path(name).name)
    if (found := len(list(folder.glob("test/*.npy")))) != TESTS:
        held = ", ".join([*(file.name for file in files), *names][:8]) or "nothing"
        raise UserError(
            f"the record has {found} files of phantoms for tests, not {TESTS}. It holds {held}. Arrange them by hand."
        )
    return folder


def _slices(files: list[Path]) -> list[Callable[[], np.ndarray]]:
    return [partial(_slice, path) for path in files]


def _numbered(folder: Path) -> list[Path]:
    """Return the .npy files of a folder in the order of the numbers in their names."""
    files = sorted(folder.glob("[!.]*.npy"), key=lambda path: ([int(n) for n in re.findall(r"\d+", path.stem)], path.name))
    if not files:
        raise UserError(f"{folder} is missing or holds no .npy file. Place the slices there.")
    return files


def _slice(path: Path) -> np.ndarray:
    """Return a slice (1, 512, 512)."""
    try:
        image = read_array(path)
    except ValueError as error:
        raise UserError(f"{path} is truncated or no array ({error}). Fetch it again.") from error
    if image.shape != (SIDE, SIDE):
        raise UserError(f"{path} has shape {image.shape}; slices are ({SIDE}, {SIDE}).")
    if not np.isfinite(image).all() or image.min() < -1e-3 or image.max() > 1 + 1e-3:
        raise UserError(f"{path} holds NaN, infinite or values outside [0, 1]: it is not a slice scaled to [0, 1].")
    return image.astype(np.float32)[None]
