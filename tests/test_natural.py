"""Natural images, blur kernels, and what the denoisers of "Learning Proximal Operators" need of training and metrics."""

import dataclasses
import hashlib
import io
import shutil
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from lpn.data import centre, load_images, read_images
from lpn.errors import UserError
from lpn.metrics import psnr
from lpn.sources import NATURAL, SET11, prepare


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def place(folder: Path, images: dict[str, np.ndarray]) -> Path:
    """Write PNG files."""
    for name, image in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


@pytest.fixture
def bsds(tmp_path: Path) -> Path:
    """A BSDS500 of two training images, one of them standing, and one of each other kind."""
    names = ["train/a.png", "train/b.png", "val/c.png", "test/d.png"]
    shapes = [(321, 481, 3), (481, 321, 3), (321, 481, 3), (321, 481, 3)]
    images = {name: pixels(*shape, seed=i) for i, (name, shape) in enumerate(zip(names, shapes, strict=True))}
    return place(tmp_path / "raw/bsds500", images).parent


def test_bsds500(bsds: Path, tmp_path: Path) -> None:
    source = prepare("bsds500", tmp_path / "out", bsds, count=2)
    assert source == str(bsds / "bsds500")
    train = load_images(tmp_path / "out/train.npy")
    assert train.shape == (2, 3, 321, 481)
    assert len(load_images(tmp_path / "out/validation.npy")) == len(load_images(tmp_path / "out/test.npy")) == 1
    np.testing.assert_array_equal(train[0], pixels(321, 481, 3, seed=0).transpose(2, 0, 1))
    np.testing.assert_array_equal(train[1], np.rot90(pixels(481, 321, 3, seed=1)).transpose(2, 0, 1))
    prepare("bsds500_grey", tmp_path / "grey", tmp_path, [str(bsds)])
    grey = load_images(tmp_path / "grey/train.npy")
    luma = np.rint(pixels(321, 481, 3, seed=0) @ [0.299, 0.587, 0.114])
    assert abs(grey[0, 0] - luma).max() <= 1


def test_bsds500_is_checked(bsds: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 2 training images of BSDS500, not 200.*'data.counts'"):
        prepare("bsds500", tmp_path / "out", bsds, count=200)
    (bsds / "bsds500/val/c.png").unlink()
    with pytest.raises(UserError, match=r"val is missing or holds no image"):
        prepare("bsds500", tmp_path / "out", bsds)
    place(bsds / "bsds500", {"val/c.png": pixels(100, 481, 3)})
    with pytest.raises(UserError, match=r"c.png is 481x100; images of BSDS500 are 481x321 or 321x481"):
        prepare("bsds500", tmp_path / "out", bsds)
    file = bsds / "bsds500/val/c.png"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"c.png is truncated, no image or too large"):
        prepare("bsds500", tmp_path / "out", bsds)
    assert not (tmp_path / "out/validation.npy").exists()


def test_photographs_of_the_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place(tmp_path / "own", {"train/a.png": pixels(300, 256, 3), "validation/b.png": pixels(256, 256, 3)})
    tall = Image.fromarray(np.repeat(np.arange(512, dtype=np.uint8)[:, None] // 2, 256, 1)).convert("RGB")  # darker above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter: darker on the right
    (tmp_path / "own/test").mkdir()
    tall.save(tmp_path / "own/test/phone.jpg", exif=exif)
    prepare("own", tmp_path / "out", tmp_path)
    np.testing.assert_array_equal(load_images(tmp_path / "out/train.npy")[0], pixels(300, 256, 3)[22:278].transpose(2, 0, 1))
    test = load_images(tmp_path / "out/test.npy").astype(float)
    assert test.shape == (1, 3, 256, 256)
    assert (np.diff(test[0, 0].mean(0)) <= 0).mean() > 0.9
    (tmp_path / "own/train/portrait.heic").write_bytes(b"")
    capsys.readouterr()
    prepare("own", tmp_path / "again", tmp_path)
    assert "own/train also holds portrait.heic: not taken, only .png" in capsys.readouterr().out
    place(tmp_path / "own", {"train/small.png": pixels(300, 255, 3)})
    with pytest.raises(UserError, match=r"small.png is 255x300; the sides must be at least 256"):
        prepare("own", tmp_path / "again", tmp_path)


def test_images_of_two_sizes(tmp_path: Path) -> None:
    images = {f"set11/{name}.png": pixels(12, 12, seed=i) if i % 2 else pixels(8, 8, seed=i) for i, name in enumerate(SET11)}
    prepare("set11", tmp_path / "out", place(tmp_path / "raw", images))
    path = tmp_path / "out/test.npy"
    assert np.load(tmp_path / "out/train.npy").shape[0] == np.load(tmp_path / "out/validation.npy").shape[0] == 0
    small, large = read_images(path, 0, 6), read_images(path, 6, 5)
    assert small.shape == (6, 1, 8, 8)
    np.testing.assert_array_equal(small[1, 0], images["set11/cameraman.png"])
    np.testing.assert_array_equal(large[4, 0], images["set11/montage.png"])
    with pytest.raises(UserError, match=r"6 of 8x8, then 5 of 12x12.*'images_per_job'"):
        read_images(path, 5, 2)
    with pytest.raises(UserError, match=r"images up to 12 are asked for, but .* has only 11"):
        read_images(path, 6, 6)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"test\.npy can't be read"):
        read_images(path, 0, 1)


@pytest.mark.parametrize(("name", "count", "pattern"), [("mcmaster", 18, "{:02d}.tif"), ("kodak", 24, "kodim{:02d}.png")])
def test_colour_test_sets(name: str, count: int, pattern: str, tmp_path: Path) -> None:
    images = {f"{name}/{pattern.format(i + 1)}": pixels(4, 6, 3, seed=i) for i in range(count)}
    place(tmp_path, images)
    (tmp_path / name / f"._{pattern.format(1)}").write_bytes(b"what macOS keeps beside a file")
    prepare(name, tmp_path / "out", tmp_path)
    test = read_images(tmp_path / "out/test.npy", 0, count)
    np.testing.assert_array_equal(test[-1], images[f"{name}/{pattern.format(count)}"].transpose(2, 0, 1))
    with pytest.raises(UserError, match=rf"not the {count} of .*SHA-256.*'data.counts.{name}' to null"):
        prepare(name, tmp_path / "out", tmp_path, count=count)


def test_the_original_images_are_known_by_their_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [pixels(2, 3, 3, seed=i) for i in range(2)]
    shape = np.array([3, 2, 3], "<i8").tobytes()
    digest = hashlib.sha256(b"".join(shape + image.transpose(2, 0, 1).tobytes() for image in images)).hexdigest()
    monkeypatch.setitem(NATURAL, "kodak", dataclasses.replace(NATURAL["kodak"], digest=digest))
    place(tmp_path, {f"kodak/{i}.png": image for i, image in enumerate(images)})
    prepare("kodak", tmp_path / "out", tmp_path, count=2)
    place(tmp_path, {"kodak/1.png": images[1] ^ 1})
    with pytest.raises(UserError, match="are not the 2 of Kodak"):
        prepare("kodak", tmp_path / "out", tmp_path, count=2)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of downloads in the test's folder, and no official sources."""
    monkeypatch.setenv("LPN_DOWNLOADS", str(tmp_path / "downloads"))
    for name, known in NATURAL.items():
        monkeypatch.setitem(NATURAL, name, dataclasses.replace(known, official=None))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", NATURAL)
def test_missing_images_say_what_to_place(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"could not be had. Fetch it from .* and place it at .*{name}"):
        prepare(name, tmp_path / "out", tmp_path / "elsewhere")


@pytest.mark.usefixtures("offline")
def test_images_of_an_official_source(server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror without the files and one with a damaged file are passed over; what was downloaded is not fetched again."""
    url, folder = server
    images = {f"kodim{i:02}.png": pixels(4, 6, 3, seed=i) for i in range(1, 25)}
    for source in ("damaged/kodak", "official"):
        place(folder / source, images)
    (folder / "damaged/kodak/kodim07.png").write_bytes(b"no image")
    monkeypatch.setitem(NATURAL, "kodak", dataclasses.replace(NATURAL["kodak"], official=f"{url}official"))
    mirrors = [f"{url}empty", f"{url}damaged"]
    assert prepare("kodak", tmp_path / "out", tmp_path / "own", mirrors) == f"{url}official"
    first = images["kodim01.png"].transpose(2, 0, 1)
    np.testing.assert_array_equal(read_images(tmp_path / "out/test.npy", 0, 1)[0], first)
    shutil.rmtree(folder / "official")
    prepare("kodak", tmp_path / "again", tmp_path / "own")
    np.testing.assert_array_equal(read_images(tmp_path / "again/test.npy", 0, 1)[0], first)


@pytest.mark.usefixtures("offline")
def test_bsds500_from_the_archive(server: tuple[str, Path], tmp_path: Path) -> None:
    """Of the archive only its images are taken, wherever its other names lead."""
    url, folder = server
    (folder / "bsds500").mkdir()
    content = io.BytesIO()
    Image.fromarray(pixels(321, 481, 3)).save(content, "jpeg")
    names = [f"BSR/BSDS500/data/images/{split}/{i}.jpg" for split in ("train", "val", "test") for i in range(2)]
    names += [
        "../../../BSDS500/data/images/test/../../evil.jpg",
        "/BSR/evil.jpg",
        "BSR/BSDS500/data/groundTruth/train/2.mat",
    ]
    with tarfile.open(folder / "bsds500/BSR_bsds500.tgz", "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(content.getvalue())
            tar.addfile(member, io.BytesIO(content.getvalue()))
    prepare("bsds500", tmp_path / "out", tmp_path / "own", [url], count=2)
    assert [len(load_images(tmp_path / f"out/{split}.npy")) for split in ("train", "validation", "test")] == [2, 2, 2]
    assert [path.name for path in tmp_path.rglob("*.jpg") if path.stem not in "01"] == []
    shutil.rmtree(tmp_path / "downloads")
    archive = folder / "bsds500/BSR_bsds500.tgz"
    archive.write_bytes(archive.read_bytes()[:-1000])
    with pytest.raises(UserError, match="BSDS500 could not be had.*Tried:\n.*bsds500: "):
        prepare("bsds500", tmp_path / "out", tmp_path / "own", [url])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.fromarray(np.arange(24, dtype=np.uint16).reshape(4, 6)), "kodim01.png has 16 or more bits a channel"),
        (Image.fromarray(pixels(4, 6, 4), "RGBA"), "kodim01.png has an alpha channel"),
        (Image.fromarray(pixels(4, 6, 2), "LA"), "kodim01.png has an alpha channel"),
        (Image.fromarray(pixels(4, 6, 3)).convert("L"), "kodim01.png is of mode L, where RGB is needed"),
    ],
)
def test_images_that_would_lose_something(image: Image.Image, message: str, tmp_path: Path) -> None:
    place(tmp_path, {f"kodak/kodim{i:02d}.png": pixels(4, 6, 3) for i in range(1, 25)})
    image.save(tmp_path / "kodak/kodim01.png")
    with pytest.raises(UserError, match=message):
        prepare("kodak", tmp_path / "out", tmp_path)


def test_colours_of_16_bits_are_refused(tmp_path: Path) -> None:
    """Pillow reads such files, but not all of their bits, and does not write them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    place(tmp_path, {f"kodak/kodim{i:02d}.png": pixels(4, 6, 3) for i in range(1, 25)})
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(4 * (1 + 6 * 6))))
    (tmp_path / "kodak/kodim01.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b""))
    with pytest.raises(UserError, match=r"kodim01\.png has 16 or more bits a channel"):
        prepare("kodak", tmp_path / "out", tmp_path)


def test_centre() -> None:
    image = torch.arange(5 * 6).view(1, 1, 5, 6)
    assert centre(image, 2).flatten().tolist() == [8, 9, 14, 15]
    with pytest.raises(UserError, match="squares of side 6"):
        centre(image, 6)


def test_channelwise_psnr() -> None:
    truth = np.random.default_rng(0).random((2, 3, 8, 8))
    images = truth + np.array([0.01, 0.02, 0.04]).reshape(3, 1, 1)
    expected = [peak_signal_noise_ratio(truth[0, c], images[0, c], data_range=1.0) for c in range(3)]
    np.testing.assert_allclose(psnr(images, truth, channelwise=True), [np.mean(expected)] * 2, rtol=1e-12)
    assert (psnr(images, truth) < psnr(images, truth, channelwise=True)).all()
