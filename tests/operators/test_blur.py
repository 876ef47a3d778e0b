import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import golden_files
from scipy.signal import convolve2d

from lpn.errors import UserError
from lpn.operators.blur import Blur
from operators.conftest import SMALL, build, draw, relative


def test_blur_is_full_convolution() -> None:
    for name in ("gaussian", "kernel", "whole"):
        operator = SMALL[name]()
        assert isinstance(operator, Blur)
        x = draw(2, *operator.input_shape)
        for image, blurred in zip(x.flatten(0, 1), operator(x).flatten(0, 1), strict=True):
            np.testing.assert_allclose(blurred, convolve2d(image, operator.kernel, mode="full"), atol=1e-12)


def test_bad_kernels_are_refused() -> None:
    for kernel, message in [
        (torch.ones(9, 3), "no larger than the image"),
        (torch.tensor([[1.0, -1.0]]), "nonzero sum"),
        (torch.tensor([[1.0, math.nan]]), "finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            Blur(kernel, (1, 8, 8))


@pytest.mark.parametrize("path", golden_files("op_blur"), ids=lambda path: path.stem)
@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_published_blur(path: Path, sigma: float) -> None:
    arrays = np.load(path)
    operator = build("blur", (3, 128, 128), sigma=sigma)
    assert isinstance(operator, Blur)
    x, y = (torch.from_numpy(arrays[name].astype(np.float32)).permute(2, 0, 1)[None] for name in ("x", f"s{sigma}/y"))
    np.testing.assert_allclose(operator.kernel, arrays[f"s{sigma}/kernel"], rtol=1e-12)
    assert relative(operator(x)[0].permute(1, 2, 0), arrays[f"s{sigma}/Ax"]) < 1e-6
    assert relative(operator.adjoint(y)[0].permute(1, 2, 0), arrays[f"s{sigma}/adj_y"]) < 1e-6
    torch.testing.assert_close(operator.initial(y), operator.adjoint(y))


def test_blur_by_a_kernel_of_a_file_is_full_convolution(tmp_path: Path) -> None:
    kernel, x = draw(3, 5).numpy(), draw(1, 1, 8, 9)
    kernel /= kernel.sum()
    np.save(tmp_path / "kernel.npy", kernel)
    operator = build("blur", (1, 8, 9), kernel=str(tmp_path / "kernel.npy"))
    image = x[0, 0].numpy()  # SciPy refuses tensors beside arrays once ODL has been imported
    np.testing.assert_allclose(operator(x)[0, 0], convolve2d(image, kernel), atol=1e-12)
    box = build("blur", (1, 8, 9), kernel="box", side=3)
    np.testing.assert_allclose(box(x)[0, 0], convolve2d(image, np.full((3, 3), 1 / 9)), atol=1e-12)


def test_kernels_of_files_that_do_not_fit_name_the_file(tmp_path: Path) -> None:
    np.save(tmp_path / "kernel.npy", np.ones((2, 9, 9)))
    with pytest.raises(UserError, match=r"kernel\.npy, kernel 1: a blur kernel of shape \(9, 9\) does not fit"):
        build("blur", (1, 8, 8), kernel=str(tmp_path / "kernel.npy"), number=1)
