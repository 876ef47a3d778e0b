"""Mayo-CT: slices of the LPN paper's authors, of the Mayo Clinic's low-dose challenge."""

import re
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from lpn.data._base import CountedSet, Images, Sizes, Sources
from lpn.data._fetch import cache, fetch_drive, reason
from lpn.errors import UserError
from lpn.files import read_array, wait_for_lock

FOLDER = "mayo_data_arranged_patientwise"
DRIVE_FOLDER = "1gKytBtkTtGxBLRcNInx2OLty4Gie3pCX"  # named by the LPN paper's authors
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
        own = sources.folder / "mayoct"
        mirrors = [Path(mirror) / FOLDER for mirror in sources.mirrors if "://" not in mirror]
        place = next((place for place in [own / FOLDER, own, *mirrors] if place.is_dir()), None) or _download(own / FOLDER)
        train, test = _numbered(place / "train/Phantom"), _numbered(place / "test/Phantom")
        self.check_count(len(train), place / "train/Phantom")
        if len(train) <= VALIDATION:
            raise UserError(f"{place / 'train/Phantom'} has {len(train)} slices; more than {VALIDATION} are needed.")
        parts = {"train": train[:-VALIDATION], "validation": train[-VALIDATION:], "test": test}
        return str(place), {split: [partial(_slice, path) for path in parts[split]] for split in parts}


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


def _download(place: Path) -> Path:
    """Return the folder of the slices in the cache, downloaded once."""
    folder = cache() / "mayoct"
    try:
        with wait_for_lock(folder.with_suffix(".lock")):
            if not (folder / "finished").exists():
                fetch_drive(DRIVE_FOLDER, folder, is_folder=True)
            found = next(folder.rglob(FOLDER))
            (folder / "finished").touch()
        return found
    except (OSError, ValueError, RuntimeError, StopIteration) as error:
        raise UserError(
            f"Mayo-CT could not be downloaded from Google Drive ({reason(error)}). Place the folder '{FOLDER}' at {place}, "
            "or name a mirror, a folder that has it."
        ) from error
