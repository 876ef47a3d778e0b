"""Blur kernels: made, read from files, and named by settings."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from scipy.io import savemat
from scipy.sparse import csc_array
from torch import Tensor

from lpn.errors import UserError
from lpn.operators._kernels import centred_kernel, checked_kernel, gaussian_side, read_kernel
from lpn.settings import files, sentences
from operators.conftest import settings


@pytest.mark.parametrize(("sigma", "side"), [(0.5, 5), (1, 5), (2, 7), (2.7, 9), (3, 9)])
def test_gaussian_kernel(sigma: float, side: int) -> None:
    assert gaussian_side(sigma) == side
    kernel = centred_kernel(side, sigma)
    assert kernel.shape == (side, side)
    assert kernel.sum() == pytest.approx(1)
    assert kernel.max() == kernel[side // 2, side // 2]


@pytest.mark.parametrize("sigma", [-1.0, 0.0, math.inf, math.nan])
def test_widths_of_no_gaussian_are_refused(sigma: float) -> None:
    with pytest.raises(ValidationError, match="sigma\n"):
        settings("blur", sigma=sigma)


def test_centred_kernels() -> None:
    gaussian = centred_kernel(25, 1.6)
    assert gaussian.sum().item() == pytest.approx(1)
    assert (gaussian[12, 13] / gaussian[12, 12]).item() == pytest.approx(np.exp(-1 / (2 * 1.6**2)))
    torch.testing.assert_close(centred_kernel(19), torch.full((19, 19), 1 / 361, dtype=torch.float64))


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (torch.ones(9, 3), "no larger than the image"),
        (torch.ones(3), "two axes"),
        (torch.tensor([[1.0, math.nan]]), "finite"),
    ],
)
def test_unfit_kernels_are_refused(kernel: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_kernel(kernel, (1, 8, 8))


def kernels(*shape: int) -> np.ndarray:
    """Return random kernels of sum 1, float64."""
    random = np.random.default_rng(0).random(shape)
    return random / random.sum((-2, -1), keepdims=True)


def test_kernels_in_npy_files(tmp_path: Path) -> None:
    stack = kernels(2, 1, 3, 5)
    path = str(tmp_path / "stack.npy")
    for array in (stack, stack[:, 0]):
        np.save(path, array)
        np.testing.assert_array_equal(read_kernel(path, 1), stack[1, 0])
    with pytest.raises(UserError, match=r"stack\.npy holds 2 kernels, counted from 0: there is no number 2"):
        read_kernel(path, 2)
    np.save(tmp_path / "one.npy", stack[0, 0])
    np.testing.assert_array_equal(read_kernel(str(tmp_path / "one.npy")), stack[0, 0])
    np.save(tmp_path / "row.npy", stack[0, 0, 0])
    np.save(tmp_path / "colour.npy", np.ones((11, 11, 3)))
    np.save(tmp_path / "colours.npy", np.ones((2, 3, 11, 11)))
    np.save(tmp_path / "complex.npy", stack * 1j)
    np.save(tmp_path / "zero.npy", np.zeros((3, 3)))
    np.save(tmp_path / "nan.npy", np.full((3, 3), np.nan))
    (tmp_path / "cut.npy").write_bytes(Path(path).read_bytes()[:100])
    faults = {
        "row": r"the shape \(5,\): it must be one kernel",
        "colour": r"the shape \(11, 11, 3\): it must be one kernel \(a, b\) without colours, or a stack \(n, a, b\)",
        "colours": r"the shape \(2, 3, 11, 11\)",
        "complex": "complex128 where real",
        "zero": "kernel 0: the sum of a kernel must be positive and finite, and is 0",
        "nan": "kernel 0: the sum of a kernel must be positive and finite, and is nan",
        "none": "No such",
        "cut": "can't be read",
    }
    for name, message in faults.items():
        with pytest.raises(UserError, match=rf"{name}\.npy.*{message}"):
            read_kernel(str(tmp_path / f"{name}.npy"))


@pytest.mark.parametrize("blur", ["blur", "circular_blur"])
def test_a_kernel_of_another_sum_is_divided_by_it(blur: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In files of every kind, with a word, and for both blurs."""
    weights = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    np.save(tmp_path / "k.npy", weights)
    np.savez(tmp_path / "k.npz", k=weights)
    savemat(tmp_path / "k.mat", {"k": weights})
    np.savetxt(tmp_path / "k.txt", weights)
    np.savetxt(tmp_path / "k.csv", weights, delimiter=",", fmt="%d")
    Image.fromarray(weights.astype(np.uint8)).save(tmp_path / "k.png")
    Image.fromarray(weights.astype(np.uint16)).save(tmp_path / "k.tif")
    Image.fromarray(weights.astype(np.float32)).save(tmp_path / "F.TIFF")
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 8
    x = torch.rand(1, 1, 9, 9, dtype=torch.float64)
    expected = settings(blur, kernel="gaussian", sigma=1, side=3).build((1, 9, 9), 0)(x)
    for path in paths:
        np.testing.assert_allclose(read_kernel(str(path)), weights / 16, rtol=1e-12)
        assert f"note: {path}, kernel 0, sums to 16: it is divided by that" in capsys.readouterr().out
        assert (settings(blur, kernel=str(path)).build((1, 9, 9), 0)(x) - expected).abs().max() < 0.2
    np.save(tmp_path / "k.npy", weights / 16)
    capsys.readouterr()
    read_kernel(str(tmp_path / "k.npy"))
    assert not capsys.readouterr().out


def test_kernels_of_matlab(tmp_path: Path) -> None:
    """A cell of kernels, and Levin's files, where f is the kernel of the image x and the blurred y."""
    first, second, path = kernels(3, 5), kernels(5, 5), str(tmp_path / "k.mat")
    cell = np.empty((1, 2), object)
    cell[0, 0], cell[0, 1] = first, second
    savemat(path, {"kernels": cell})
    np.testing.assert_array_equal(read_kernel(path, 1), second)
    savemat(path, {"x": np.ones((9, 9)), "y": np.ones((9, 9)), "f": first})
    np.testing.assert_array_equal(read_kernel(path), first)
    with pytest.raises(UserError, match=r"k\.mat holds 1 kernel, .*no number 1"):
        read_kernel(path, 1)


def test_files_that_are_no_kernels_are_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "several.mat", {"a": np.ones((9, 9)), "b": np.ones((9, 9))})
    savemat(tmp_path / "text.mat", {"a": "no kernel"})
    savemat(tmp_path / "deep.mat", {"a": np.ones((3, 3, 3))})
    savemat(tmp_path / "sparse.mat", {"a": csc_array(np.eye(3))})
    (tmp_path / "new.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(512))
    (tmp_path / "empty.mat").write_bytes(b"")
    (tmp_path / "ragged.txt").write_text("1 2\n3\n")
    (tmp_path / "decimal.txt").write_text("0,1 0,2\n0,3 0,4\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "word.csv").write_text("kernel\n1\n")
    Image.new("RGB", (3, 3)).save(tmp_path / "colour.png")
    Image.new("LA", (3, 3)).save(tmp_path / "alpha.png")
    Image.new("L", (3, 3)).save(tmp_path / "black.png")
    pages = [Image.new("L", (3, 3), 9), Image.new("L", (3, 3), 8)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    Image.new("L", (3, 3), 9).save(tmp_path / "lossy.jpg")
    (tmp_path / "kernel").write_bytes(b"")
    (tmp_path / "no.png").write_bytes(b"MATLAB 5.0")
    faults = {
        "several.mat": "the variables a, b; save the kernel alone, or as f",
        "text.mat": r"kernel 0: it is <U9 \(1,\), and not an array \(a, b\) of real numbers",
        "deep.mat": r"kernel 0: it is float64 \(3, 3, 3\), and not",
        "sparse.mat": r"kernel 0: it is object \(\), and not",
        "new.mat": "it is of MATLAB's version 7.3; write it by save",
        "empty.mat": "empty.mat can't be read",
        "ragged.txt": "ragged.txt can't be read",
        "decimal.txt": "decimal.txt can't be read.*'1 0'",
        "empty.txt": "it has no numbers",
        "word.csv": "word.csv can't be read.*'kernel'",
        "colour.png": "it is a picture of mode RGB; convert it to grey",
        "alpha.png": "it is a picture of mode LA; convert it to grey",
        "black.png": "positive and finite, and is 0",
        "pages.tif": "it has several pages",
        "lossy.jpg": r"must be a file \.npy, \.npz, \.mat, \.txt, \.csv, \.png, \.tif, \.tiff, \.bmp",
        "kernel": r"must be a file \.npy",
        "no.png": "no.png can't be read",
    }
    for name, message in faults.items():
        with pytest.raises(UserError, match=message):
            read_kernel(str(tmp_path / name))


def archive(folder: Path, **changes: np.ndarray) -> str:
    """Write eight kernels of several odd sides as Levin's are, with changes."""
    random = np.random.default_rng(0)
    kernels = {f"k{i}": random.random((2 * i + 1, 2 * i + 1)) for i in range(1, 9)}
    np.savez(folder / "levin09.npz", **{name: kernel / kernel.sum() for name, kernel in kernels.items()} | changes)
    return str(folder / "levin09.npz")


def test_kernels_in_archives(tmp_path: Path) -> None:
    path = archive(tmp_path)
    with np.load(path) as file:
        for number in range(8):
            kernel = read_kernel(path, number)
            np.testing.assert_array_equal(kernel, file[f"k{number + 1}"].astype(np.float32))
            assert kernel.dtype == torch.float64
    with pytest.raises(UserError, match=r"levin09\.npz holds 8 kernels, counted from 0: there is no number 8"):
        read_kernel(path, 8)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.ones((1, 1, 1)), r"float64 \(1, 1, 1\), and not an array \(a, b\)"),
        (np.full((3, 3), np.nan), "positive and finite, and is nan"),
        (np.full((3, 3), 1j), "complex128 where real"),
    ],
)
def test_unfit_kernels_in_archives_are_refused(kernel: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"levin09\.npz.*{message}"):
        read_kernel(archive(tmp_path, k4=kernel), 3)


@pytest.mark.parametrize("size", [0, 100, -100])
def test_damaged_archives_are_refused(size: int, tmp_path: Path) -> None:
    path = Path(archive(tmp_path))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=r"levin09\.npz can't be read"):
        read_kernel(str(path))
    path.unlink()
    with pytest.raises(UserError, match=r"levin09\.npz can't be read.*No such file"):
        read_kernel(str(path))


@pytest.mark.parametrize("name", ["blur", "circular_blur"])
def test_settings_name_a_kernel(name: str) -> None:
    assert files(settings(name, kernel="gaussian", sigma=1, side=5)) == []
    assert files(settings(name, kernel="box", side=5)) == []
    assert files(settings(name, kernel="some/kernels.npz", number=3)) == ["some/kernels.npz"]
    bad = [
        {},
        {"side": 5},
        {"kernel": "gaussian", "sigma": 1},
        {"kernel": "gaussian", "side": 5},
        {"kernel": "gaussian", "sigma": 1, "side": 5, "number": 1},
        {"kernel": "box", "side": 5, "sigma": 1},
        {"kernel": "box", "number": 1},
        {"kernel": "kernel.npy", "side": 3},
        {"kernel": "kernel.npy", "sigma": 3},
        *([{"sigma": 1, "number": 2}] if name == "blur" else [{"sigma": 1.0}]),
    ]
    for values in bad:
        with pytest.raises(ValidationError) as fault:
            settings(name, **values)
        (sentence,) = sentences(fault.value, "operator")
        assert sentence.startswith("key 'operator': kernel must be gaussian (with sigma and side), box (with side) or a ")
        assert f"it is {values.get('kernel', 'none')} with" in sentence
        assert ("sigma and nothing else" in sentence) == (name == "blur")
    with pytest.raises(ValidationError, match="side is 4, but the side of a kernel must be odd"):
        settings(name, kernel="box", side=4)
    with pytest.raises(ValidationError) as fault:
        settings(name, kernel=3)
    assert sentences(fault.value) == ["key 'kernel' is 3: input should be a valid string."]
