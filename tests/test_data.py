import gzip
import hashlib
import http.server
import io
import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from gdown.exceptions import FileURLRetrievalError
from PIL import Image
from torchvision.transforms import CenterCrop

import lpn.sources
from lpn.data import image_batches, load_images, to_tensor
from lpn.errors import UserError
from lpn.sources import MNIST_FILE, MNIST_HEADER, prepare

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 28, 28)).astype(np.uint8)
RAW = MNIST_HEADER + IMAGES.tobytes()


@pytest.fixture(autouse=True)
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST of 20 images, and no source but those that a test gives."""
    monkeypatch.setattr(lpn.sources, "MNIST_MD5", hashlib.md5(RAW).hexdigest())
    monkeypatch.setattr(
        lpn.sources, "MNIST_SPLITS", {"train": slice(0, 10), "test": slice(10, 15), "validation": slice(15, 20)}
    )
    monkeypatch.setattr(lpn.sources, "_torchvision_mirrors", list)
    monkeypatch.setattr(lpn.sources, "MNIST_NPM_PACKAGE", "/nonexistent/package")


def check_images(folder: Path) -> None:
    """Assert that the prepared splits are those of IMAGES."""
    parts = [np.load(folder / f"{split}.npy") for split in ("train", "test", "validation")]
    assert [part.shape for part in parts] == [(10, 1, 28, 28), (5, 1, 28, 28), (5, 1, 28, 28)]
    np.testing.assert_array_equal(np.concatenate(parts)[:, 0], IMAGES)


@pytest.mark.parametrize("name", ["mnist.npy", MNIST_FILE, f"{MNIST_FILE}.gz"])
def test_own_folder_comes_first(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data/mnist"
    folder.mkdir(parents=True)
    if name == "mnist.npy":
        np.save(folder / name, IMAGES)
    else:
        (folder / name).write_bytes(gzip.compress(RAW) if name.endswith(".gz") else RAW)
    assert prepare("mnist", tmp_path / "out", tmp_path / "data") == str(folder / name)
    check_images(tmp_path / "out")


def test_next_source_after_damaged_ones(tmp_path: Path, server: tuple[str, Path]) -> None:
    url, folder = server
    packed = gzip.compress(RAW)
    broken = {"truncated": packed[:-500], "wrong": gzip.compress(RAW[:-1] + b"x"), "page": b"<html>not found</html>"}
    for name, content in broken.items():
        (folder / name).mkdir()
        (folder / name / f"{MNIST_FILE}.gz").write_bytes(content)
    mirrors = [*(url + name for name in [*broken, "missing"]), str(tmp_path / "no folder")]
    with pytest.raises(UserError) as info:
        prepare("mnist", tmp_path / "out", tmp_path / "data", mirrors)
    message = str(info.value)
    assert f"Place {MNIST_FILE}.gz" in message
    assert str(tmp_path / "data/mnist") in message
    assert "data.mirrors" in message
    lines = {line.split(": ")[0].strip(): line for line in message.splitlines() if ": " in line}
    assert "ended before" in lines[url + "truncated"]
    assert "wrong checksum" in lines[url + "wrong"]
    assert "gzip" in lines[url + "page"]
    assert "404" in lines[url + "missing"]
    assert "No such file" in lines[str(tmp_path / "no folder")]
    assert not (tmp_path / "out").exists()

    (folder / f"{MNIST_FILE}.gz").write_bytes(packed)
    assert prepare("mnist", tmp_path / "out", tmp_path / "data", [*mirrors, url]) == url
    check_images(tmp_path / "out")


def flaky_server(content: bytes, ranges: bool) -> tuple[http.server.ThreadingHTTPServer, list[str | None]]:
    """Return a server of one file that drops every connection after a third of it, and the ranges it was asked for."""
    asked: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Range"])
            start = int(asked[-1].removeprefix("bytes=").removesuffix("-")) if asked[-1] and ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            drop = len(asked) < 3 or not ranges
            self.wfile.write(content[start : start + len(content) // 3] if drop else content[start:])

        def log_message(self, *args) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    return httpd, asked


@pytest.mark.parametrize("ranges", [True, False])
def test_dropped_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranges: bool) -> None:
    """A download goes on where it broke off; from a server that can't, the next mirror serves."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    content = gzip.compress(RAW)
    httpd, asked = flaky_server(content, ranges)
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / f"{MNIST_FILE}.gz").write_bytes(content)
    url, mirror = f"http://127.0.0.1:{httpd.server_port}", str(tmp_path / "mirror")
    source = prepare("mnist", tmp_path / "out", tmp_path / "data", [url, mirror])
    httpd.shutdown()
    httpd.server_close()
    check_images(tmp_path / "out")
    if ranges:
        assert source == url
        assert asked == [None, "bytes=4096-", "bytes=8192-"]  # whole blocks of what came
    else:
        assert source == mirror
        assert len(asked) == lpn.sources.DOWNLOAD_ATTEMPTS


def test_download_of_a_killed_process_goes_on(tmp_path: Path) -> None:
    content = gzip.compress(RAW)
    httpd, asked = flaky_server(content, ranges=True)
    url = f"http://127.0.0.1:{httpd.server_port}/{MNIST_FILE}.gz"
    asked += [None, None]  # no more drops
    mirror = hashlib.md5(url.encode()).hexdigest()[:8]
    (tmp_path / f"{MNIST_FILE}.gz.{mirror}.part").write_bytes(content[:1000])
    assert lpn.sources._download(url, tmp_path).read_bytes() == content
    assert asked[-1] == "bytes=1000-"
    httpd.shutdown()
    httpd.server_close()


def test_own_data_are_only_read(tmp_path: Path) -> None:
    place = tmp_path / "data/mnist"
    place.mkdir(parents=True)
    np.save(place / "mnist.npy", IMAGES)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    prepare("mnist", tmp_path / "out", tmp_path / "data")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == before
    place.chmod(0o755)
    check_images(tmp_path / "out")


# CelebA


def image_bytes(width: int, height: int, seed: int = 0) -> bytes:
    """Return a JPEG of random pixels."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def celeba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with CelebA of 3 training and 4 validation images, of which two are the test."""
    monkeypatch.setattr(lpn.sources, "CELEBA_TEST", slice(1, 3))
    monkeypatch.setenv("LPN_DOWNLOADS", str(tmp_path / "downloads"))
    place = tmp_path / "data/celeba/celeba"
    (place / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(1, 8)]
    for seed, name in enumerate(names):
        (place / "img_align_celeba" / name).write_bytes(image_bytes(178, 218, seed))
    (place / "list_eval_partition.txt").write_text("".join(f"{n} {0 if i < 3 else 1}\n" for i, n in enumerate(names)))
    return tmp_path / "data"


def test_celeba_is_cropped_and_split(celeba: Path, tmp_path: Path) -> None:
    prepare("celeba", tmp_path / "out", celeba, count=3)
    shapes = {split: np.load(tmp_path / f"out/{split}.npy").shape for split in ("train", "validation", "test")}
    assert shapes == {"train": (3, 3, 128, 128), "validation": (2, 3, 128, 128), "test": (2, 3, 128, 128)}
    with Image.open(celeba / "celeba/celeba/img_align_celeba/000005.jpg") as image:
        expected = CenterCrop(128)(image)  # the paper's transform
    test = np.load(tmp_path / "out/test.npy")
    np.testing.assert_array_equal(test[0].transpose(1, 2, 0), np.asarray(expected))
    np.save(tmp_path / "same.npy", test)
    assert (tmp_path / "out/test.npy").read_bytes() == (tmp_path / "same.npy").read_bytes()

    unpacked = celeba / "celeba/celeba/img_align_celeba"
    shutil.copytree(unpacked, tmp_path / unpacked.name)
    shutil.rmtree(unpacked)
    unpacked.mkdir()
    (tmp_path / unpacked.name).rename(unpacked / unpacked.name)  # a folder of the same name in it
    prepare("celeba", tmp_path / "nested", celeba)
    assert (tmp_path / "nested/test.npy").read_bytes() == (tmp_path / "out/test.npy").read_bytes()


def test_celeba_from_the_archive_of_a_mirror(celeba: Path, tmp_path: Path) -> None:
    prepare("celeba", tmp_path / "folder", celeba)
    place = celeba / "celeba/celeba"
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    with zipfile.ZipFile(mirror / "img_align_celeba.zip", "w") as archive:
        for path in (place / "img_align_celeba").iterdir():
            archive.write(path, f"img_align_celeba/{path.name}")
        archive.writestr("../escaped.txt", "never unpacked")
    shutil.rmtree(place / "img_align_celeba")
    prepare("celeba", tmp_path / "zip", celeba, [str(mirror)])
    assert not list(tmp_path.rglob("escaped.txt"))
    for split in ("train", "validation", "test"):
        assert (tmp_path / f"zip/{split}.npy").read_bytes() == (tmp_path / f"folder/{split}.npy").read_bytes()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda place: (place / "img_align_celeba/000002.jpg").unlink(),
            r"000002\.jpg, which the partition file names, can't be read \(No such file",
        ),
        (
            lambda place: (place / "img_align_celeba/000002.jpg").write_bytes(image_bytes(178, 218)[:9000]),
            "000002.*truncated",
        ),
        (lambda place: (place / "img_align_celeba/000002.jpg").write_bytes(image_bytes(64, 64)), "000002.* is 64x64"),
        (
            lambda place: Image.new("CMYK", (178, 218)).save(place / "img_align_celeba/000002.jpg"),
            r"000002\.jpg is of mode CMYK",
        ),
        (lambda place: (place / "list_eval_partition.txt").write_text("../x.jpg 0\n"), "line 1"),
        (lambda place: (place / "list_eval_partition.txt").write_text("000001.jpg 0\n"), "at least 1 and 3"),
        (lambda place: (place / "list_eval_partition.txt").write_text("000001.jpg 0\n000001.jpg 1\n"), "named twice"),
        (lambda place: (place / "list_eval_partition.txt").write_bytes(b"\xff\xfe"), "line 1"),
    ],
)
def test_damaged_celeba_is_named(celeba: Path, tmp_path: Path, edit, message: str) -> None:
    edit(celeba / "celeba/celeba")
    with pytest.raises(UserError, match=message):
        prepare("celeba", tmp_path / "out", celeba)
    assert not (tmp_path / "out/train.npy").exists()


def test_missing_training_images_are_counted(celeba: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"3 training images of CelebA, not 162770.*data\.counts"):
        prepare("celeba", tmp_path / "out", celeba, count=162770)


def too_many_downloads(**options: object) -> None:
    """Fail as gdown does where Google Drive refuses."""
    raise FileURLRetrievalError("Too many users have viewed or downloaded this file recently.")


def test_missing_celeba_says_what_to_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPN_DOWNLOADS", str(tmp_path / "downloads"))
    monkeypatch.setattr("gdown.download", too_many_downloads)
    with pytest.raises(UserError, match=r"Place it in .*celeba/celeba") as info:
        prepare("celeba", tmp_path / "out", tmp_path / "data", [str(tmp_path / "mirror")])
    assert "mirror: not there" in str(info.value)
    assert "Google Drive: Too many users" in str(info.value)


# Mayo-CT


@pytest.fixture
def mayo(tmp_path: Path) -> Path:
    """A data folder with ten training slices and one test slice."""
    for part, number in (("train", 10), ("test", 1)):
        folder = tmp_path / "data/mayoct/mayo_data_arranged_patientwise" / part / "Phantom"
        folder.mkdir(parents=True)
        for i in range(number):
            np.save(folder / f"phantom_{i}.npy", np.full((512, 512), i / 10, np.float32))
    return tmp_path / "data"


def test_mayo_is_in_the_order_of_its_numbers(mayo: Path, tmp_path: Path) -> None:
    folder = mayo / "mayoct/mayo_data_arranged_patientwise/train/Phantom"
    (folder / "phantom_0.npy").rename(folder / "phantom_10.npy")  # after 9, not after 1
    prepare("mayo", tmp_path / "out", mayo)
    train, validation = (np.load(tmp_path / f"out/{split}.npy") for split in ("train", "validation"))
    np.testing.assert_allclose(np.concatenate([train, validation])[:, 0, 0, 0], [*np.arange(1, 10) / 10, 0])
    assert train.shape == (2, 1, 512, 512)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((256, 256), np.float32), r"phantom_3\.npy has shape \(256, 256\)"),
        (np.full((512, 512), np.nan, np.float32), r"phantom_3\.npy holds NaN"),
        (np.full((512, 512), 1000, np.int16), r"phantom_3\.npy .*outside \[0, 1\]"),
        (b"\x80\x04payload", r"phantom_3\.npy is truncated"),
    ],
)
def test_damaged_slices_are_named(mayo: Path, tmp_path: Path, content: np.ndarray | bytes, message: str) -> None:
    path = mayo / "mayoct/mayo_data_arranged_patientwise/train/Phantom/phantom_3.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(UserError, match=message):
        prepare("mayo", tmp_path / "out", mayo)


def test_mayo_is_downloaded_once(mayo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPN_DOWNLOADS", str(tmp_path / "downloads"))
    downloads = []

    def download_folder(output: str, **options: object) -> None:
        downloads.append(options)
        shutil.copytree(mayo / "mayoct", Path(output) / "shared by its authors")

    monkeypatch.setattr("gdown.download_folder", download_folder)
    for run in ("first", "second"):
        prepare("mayo", tmp_path / run, tmp_path / "empty")
    assert len(downloads) == 1
    assert np.load(tmp_path / "second/train.npy").shape == (2, 1, 512, 512)


def test_missing_mayo_says_what_to_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPN_DOWNLOADS", str(tmp_path / "downloads"))
    monkeypatch.setattr("gdown.download_folder", too_many_downloads)
    with pytest.raises(UserError, match="Place the folder 'mayo_data_arranged_patientwise'"):
        prepare("mayo", tmp_path / "out", tmp_path / "data")


# Prepared arrays and batches


@pytest.mark.parametrize("name", ["photographs", "phantoms"])
def test_data_without_download(tmp_path: Path, name: str) -> None:
    prepare(name, tmp_path, tmp_path / "data")
    for split in ("train", "validation", "test"):
        images = to_tensor(load_images(tmp_path / f"{split}.npy"))
        assert images.shape[2:] == (128, 128)
        assert images.min() >= 0
        assert images.max() <= 1


def test_prepared_file_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "train.npy"
    np.save(path, IMAGES)
    with pytest.raises(UserError, match=r"train\.npy holds uint8 \(20, 28, 28\)"):
        load_images(path)
    np.save(path, IMAGES[:, None])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"train\.npy can't be read"):
        load_images(path)
    path.write_bytes(b"\x80\x04payload")
    with pytest.raises(UserError, match="can't be read"):
        load_images(path)
    np.save(path, np.full((2, 1, 4, 4), np.nan, np.float32))
    with pytest.raises(UserError, match="NaN"):
        to_tensor(load_images(path))


@pytest.mark.parametrize(
    ("augment", "crops", "channels"), [(None, 1, 1), (None, 4, 1), ("flips", 2, 1), ("colours", 2, 3), ("ct", 2, 1)]
)
def test_batches_are_functions_of_the_step(augment: str | None, crops: int, channels: int) -> None:
    images = np.random.default_rng(0).random((10, channels, 48, 40)).astype(np.float32)
    batches = [image_batches(images, 4, 0, patch=16, crops=crops, augment=augment) for _ in range(2)]
    for step in (0, 7, 3):
        first, second = (batch(step) for batch in batches)
        assert first.shape == (4, channels, 16, 16)
        assert torch.equal(first, second)
        assert first.min() >= 0
        assert first.max() <= 1
    assert not torch.equal(batches[0](3), batches[0](4))


def test_crops_are_parts_of_the_images() -> None:
    images = np.arange(2 * 32 * 32, dtype=np.uint8).reshape(2, 1, 32, 32)
    patches = (image_batches(images, 2, 0, patch=8)(0) * 255).round()
    assert torch.equal(patches[:, 0, 0, 1:] - patches[:, 0, 0, :-1], torch.ones(2, 7))


def test_colours_change_order_and_scale() -> None:
    ramp = np.arange(48, dtype=np.uint8) + np.array([[[0]], [[60]], [[120]]], np.uint8)
    image = np.broadcast_to(ramp, (1, 3, 48, 48))
    patches = [(image_batches(image, 1, 0, patch=16, augment="colours")(step) * 255)[0] for step in range(60)]
    assert {float((p[0, 1, 1] - p[0, 0, 0]).abs().round()) for p in patches} == {1, 2, 3}  # full, half and third size
    assert len({tuple(p[:, 0, 0].argsort().tolist()) for p in patches}) == 6
    for p in patches:
        torch.testing.assert_close(p.sort(0).values.diff(dim=0), torch.full((2, 16, 16), 60.0))
    whole = image_batches(image, 1, 0, patch=48, augment="colours")(0)
    assert whole.shape == (1, 3, 48, 48)


def test_ranges_change_contrast_and_brightness() -> None:
    image = np.broadcast_to(np.arange(48, dtype=np.uint8) * 5, (1, 1, 48, 48))
    batches = [image_batches(image, 8, 0, patch=16, crops=8, augment="ranges") for _ in range(2)]
    patches = torch.cat([batches[0](step) for step in range(30)])
    assert torch.equal(patches[24:32], batches[1](3))
    # a linear ramp keeps being one, in a direction of its own
    steps = torch.cat([patches.diff(dim=axis).abs().flatten(1).amax(1)[:, None] for axis in (2, 3)], 1).amax(1)
    contrast = steps * 255 / 5
    assert contrast.min() > 0.49
    assert 1.5 < contrast.max() < 2.01
    assert 0.4 < ((contrast - 1).abs() < 1e-4).float().mean() < 0.6
    assert patches.min() < -0.1
    assert patches.max() > 1.1


def test_misfits_of_batches() -> None:
    images = np.zeros((3, 1, 16, 16), np.uint8)
    with pytest.raises(UserError, match="does not divide"):
        image_batches(images, 4, 0, crops=3)
    with pytest.raises(UserError, match="has only 3 images"):
        image_batches(images, 4, 0)
    with pytest.raises(UserError, match="don't fit into images of 16x16"):
        image_batches(images, 2, 0, patch=32)(0)
    with pytest.raises(UserError, match="'crops' is 2, but the images are as large"):
        image_batches(images, 2, 0, crops=2)
