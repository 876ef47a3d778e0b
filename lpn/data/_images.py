"""Files of images: listing, decoding, digest."""

import hashlib
import io
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lpn.errors import UserError

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
INVALID = (ValueError, SyntaxError, TypeError, LookupError, struct.error)  # of Pillow's reading of damaged bytes
ARRAYS = {".mat": " (a MATLAB file)", ".npy": " (a NumPy array)", ".npz": " (NumPy arrays)"}


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder in the order of their names, and print which other files it has.

    Raises UserError if there is none.
    """
    visible = sorted(folder.glob("[!.]*"))
    files = [path for path in visible if path.suffix.lower() in SUFFIXES]
    others = [path for path in visible if path not in files]
    names = [f"{path.name}{ARRAYS.get(path.suffix.lower(), '')}" for path in others]
    held = ", ".join(names[:5] + ["..."] * (len(names) > 5))
    if not files:
        held = f" It holds {held}." if others else ""
        raise UserError(f"{folder} is missing or holds no image ({', '.join(SUFFIXES)}).{held} Place the images there.")
    if others:
        print(f"note: {folder} also holds {held}: not used, only {', '.join(SUFFIXES)} are.")
    return files


def read_image(path: Path, grey: bool, content: bytes | None = None) -> np.ndarray:
    """Decode an image of 8 bits a channel as uint8 (1, H, W) (colours by the luma of ITU-R 601) or (3, H, W).

    It is turned as its EXIF data say. `content` is what the file holds, if it is no file of its own.

    Raises UserError if the image is missing or damaged, has several pages, or something of it would get lost.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            stored = str(getattr(image, "tile", ""))  # Pillow reads colours of 16 bits a channel as 8 and calls them RGB
            pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a camera's picture and previews
            image.load()
            mode = image.mode
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("L" if grey else "RGB"))
    except (OSError, Image.DecompressionBombError, *INVALID) as error:
        raise UserError(f"{path} is missing, damaged or too large ({error}). Fetch it again, or reduce it.") from error
    if pages > 1:
        raise UserError(f"{path} has {pages} pages, of which one would be read. Save each as a file of its own.")
    if mode.startswith(("I", "F")) or ";16" in stored:
        raise UserError(f"{path} has 16 or more bits a channel (mode {mode}), not 8. Convert it, or fetch the original.")
    if mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in image.info:
        raise UserError(
            f"{path} has an alpha channel (mode {mode}), which would get lost. Convert it, or fetch the original."
        )
    if mode not in ("RGB", "P", *(("L", "1") if grey else ())):
        raise UserError(f"{path} is of mode {mode}, but {'grey or ' * grey}RGB is needed. Convert it, or leave it out.")
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))


def pixel_digest(images: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 over the shape (three little-endian int64) and the pixels of each image (C, H, W), in order."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(np.array(image.shape).astype("<i8").tobytes() + image.tobytes())
    return digest.hexdigest()
