"""Blur kernels: made, read from files, and named by settings."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
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


def test_kernels_in_npy_files(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).random((2, 1, 3, 5))
    path = str(tmp_path / "stack.npy")
    np.save(path, stack)
    np.testing.assert_array_equal(read_kernel(path, 1), stack[1, 0])
    with pytest.raises(UserError, match=r"stack\.npy holds 2 kernels, counted from 0: there is no number 2"):
        read_kernel(path, 2)
    np.save(tmp_path / "one.npy", stack[0, 0])
    np.testing.assert_array_equal(read_kernel(str(tmp_path / "one.npy")), stack[0, 0])
    np.save(tmp_path / "row.npy", stack[0, 0, 0])
    np.save(tmp_path / "complex.npy", stack * 1j)
    (tmp_path / "cut.npy").write_bytes(Path(path).read_bytes()[:100])
    faults = {
        "row": "must be one array",
        "complex": "complex128 where real",
        "none": "No such",
        "cut": "can't be read",
    }
    for name, message in faults.items():
        with pytest.raises(UserError, match=rf"{name}\.npy.*{message}"):
            read_kernel(str(tmp_path / f"{name}.npy"))


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
        (np.ones((3, 3)), r"finite 2-D array of odd sides that sums to 1, and not \(3, 3\) of sum 9"),
        (np.ones((1, 1, 1)), r"finite 2-D array of odd sides that sums to 1, and not \(1, 1, 1\)"),
        (np.full((2, 3), 1 / 6), r"odd sides that sums to 1, and not \(2, 3\)"),
        (np.full((3, 3), np.nan), "finite 2-D .* of sum nan"),
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
