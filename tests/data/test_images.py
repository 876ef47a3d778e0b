"""Decoding of image files that would lose something."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.conftest import pixels
from lpn.data._images import pixel_digest, read_image
from lpn.errors import UserError


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.fromarray(np.arange(24, dtype=np.uint16).reshape(4, 6)), "a.png has 16 or more bits a channel"),
        (Image.fromarray(pixels(4, 6, 4), "RGBA"), "a.png has an alpha channel"),
        (Image.fromarray(pixels(4, 6, 2), "LA"), "a.png has an alpha channel"),
        (Image.fromarray(pixels(4, 6, 3)).convert("L"), "a.png is of mode L, but RGB is needed"),
    ],
)
def test_images_that_would_lose_something(image: Image.Image, message: str, tmp_path: Path) -> None:
    image.save(tmp_path / "a.png")
    with pytest.raises(UserError, match=message):
        read_image(tmp_path / "a.png", grey=False)


def test_colours_of_16_bits_are_refused(tmp_path: Path) -> None:
    """Pillow reads such files, but not all of their bits, and does not write them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(4 * (1 + 6 * 6))))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b""))
    with pytest.raises(UserError, match=r"a\.png has 16 or more bits a channel"):
        read_image(tmp_path / "a.png", grey=False)


def test_digest_depends_on_shape_and_order() -> None:
    a, b = pixels(1, 2, 3), pixels(1, 3, 2)
    assert len({pixel_digest(images) for images in ([a, b], [b, a], [a, a], [a.reshape(b.shape), b], [a])}) == 5
