"""Decoding of image files that would lose something."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.conftest import pixels
from lpn.data._images import image_files, pixel_digest, read_image
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


@pytest.mark.parametrize("end", ["tif", "png"])
def test_pictures_of_several_pages_are_refused(end: str, tmp_path: Path) -> None:
    pages = [Image.fromarray(pixels(4, 6, 3)) for _ in range(3)]
    pages[1].putpixel((0, 0), (9, 9, 9))
    pages[0].save(tmp_path / f"a.{end}", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=rf"a\.{end} has 3 pages, of which one would be read\. Save each"):
        read_image(tmp_path / f"a.{end}", grey=False)


def test_previews_of_a_camera_are_no_pages(tmp_path: Path) -> None:
    pages = [Image.fromarray(pixels(4, 6, 3)), Image.fromarray(pixels(2, 3, 3))]
    pages[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=pages[1:])
    assert read_image(tmp_path / "a.jpg", grey=False).shape == (3, 4, 6)


def test_arrays_in_the_place_of_pictures_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.mat", "b.npy", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"holds no image .*It holds a\.mat \(a MATLAB file\), b\.npy \(a NumPy array\), c"):
        image_files(tmp_path)
    for number in range(9):
        (tmp_path / f"d{number}.mat").write_bytes(b"")
    (tmp_path / "e.png").write_bytes(b"")
    assert image_files(tmp_path) == [tmp_path / "e.png"]
    assert "a.mat (a MATLAB file), b.npy (a NumPy array), c.txt, d0" in (note := capsys.readouterr().out)
    assert "d1.mat (a MATLAB file), ...: not used" in note


def test_digest_depends_on_shape_and_order() -> None:
    a, b = pixels(1, 2, 3), pixels(1, 3, 2)
    assert len({pixel_digest(images) for images in ([a, b], [b, a], [a, a], [a.reshape(b.shape), b], [a])}) == 5


@pytest.mark.parametrize("error", [ValueError, SyntaxError, TypeError, KeyError, struct.error])
def test_whatever_pillow_raises_names_the_file(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its readers raise many kinds of errors where bytes are damaged."""
    Image.fromarray(pixels(4, 6, 3)).save(tmp_path / "a.png")

    def damaged(path: Path) -> None:
        raise error("Truncated IHDR chunk")

    monkeypatch.setattr(Image, "open", damaged)
    with pytest.raises(UserError, match=r"a\.png is missing, damaged or too large \(.*Truncated IHDR chunk"):
        read_image(tmp_path / "a.png", grey=False)
