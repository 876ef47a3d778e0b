from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lpn.errors import UserError
from lpn.operators._kernels import centred_kernel
from lpn.operators.blur import Blur
from lpn.operators.circular_blur import CircularBlur
from operators.conftest import build, dense, draw

MOTION = torch.rand(7, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
KERNELS = {
    "gaussian": centred_kernel(25, 1.6),
    "box": centred_kernel(19),
    "motion": MOTION / MOTION.sum(),
    "signed": torch.tensor([[-0.5, 2.0, -0.5]], dtype=torch.float64),
}


@pytest.mark.parametrize("name", KERNELS)
def test_blur_is_scipys(name: str) -> None:
    """ndimage.convolve with wrapped boundary, whose origin is k // 2 for every side."""
    from scipy.ndimage import convolve

    operator, x = CircularBlur(KERNELS[name], (2, 26, 31)), draw(2, 2, 26, 31)
    expected = [[convolve(channel, KERNELS[name].numpy(), mode="wrap") for channel in image] for image in x.numpy()]
    torch.testing.assert_close(operator(x), torch.tensor(np.array(expected)), rtol=0, atol=1e-12)
    torch.testing.assert_close(operator.initial(operator(x)), operator(x))


@pytest.mark.parametrize("name", KERNELS)
def test_adjoint_norm_and_inverse(name: str) -> None:
    operator = CircularBlur(KERNELS[name], (1, 26, 31))
    matrix, x = dense(operator), draw(1, 1, 26, 31)
    torch.testing.assert_close(operator.adjoint(x).flatten(), matrix.T @ x.flatten())
    assert operator.norm == pytest.approx(torch.linalg.matrix_norm(matrix, 2).item(), rel=1e-6)
    torch.testing.assert_close(operator.inverse(3.0, 0.1)(3.0 * operator.normal(x) + 0.1 * x), x)


def test_inside_the_border_it_is_the_full_convolution() -> None:
    """Away from the border the boundary does not matter: there the published full convolution is the same."""
    kernel, x = centred_kernel(5, 1.0), draw(2, 1, 20, 24)
    full = Blur(kernel, (1, 20, 24))
    circular = CircularBlur(kernel, (1, 20, 24))(x)
    torch.testing.assert_close(full.observed(full(x))[..., 2:-2, 2:-2], circular[..., 2:-2, 2:-2])


def test_kernel_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "kernels.npy"
    np.save(path, np.stack([np.full((1, 3, 3), 1 / 9), np.eye(3)[None] / 3]).astype(np.float32))
    operator, x = build("circular_blur", (1, 8, 8), kernel=str(path), number=1), draw(1, 1, 8, 8)
    expected = sum(x.roll((i, i), (-2, -1)) for i in (-1, 0, 1)) / 3
    torch.testing.assert_close(operator(x), expected, rtol=0, atol=1e-6)
    with pytest.raises(UserError, match=r"kernels\.npy holds 2 kernels.* no number 2"):
        build("circular_blur", (1, 8, 8), kernel=str(path), number=2)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="can't be read"):
        build("circular_blur", (1, 8, 8), kernel=str(path))


def test_small_kernels_of_an_archive_are_those_in_a_padded_stack(tmp_path: Path) -> None:
    """Zeros around a centred kernel change nothing, not even the rounding."""
    kernel = KERNELS["motion"].numpy()
    np.savez(tmp_path / "kernels.npz", k1=kernel)
    np.save(tmp_path / "kernels.npy", np.pad(kernel, ((4, 4), (5, 5)))[None, None].astype(np.float32))
    x = draw(1, 1, 26, 31)
    archive, stack = (build("circular_blur", (1, 26, 31), kernel=str(tmp_path / f"kernels.{end}")) for end in ("npz", "npy"))
    torch.testing.assert_close(archive(x), stack(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (torch.ones(3, 3), "sum to 1, not to 9"),
        (torch.full((9, 3), 1 / 27), "no larger than the image"),
        (torch.ones(3), "two axes"),
        (torch.full((3, 3), torch.nan), "finite"),
    ],
)
def test_unfit_kernels_are_refused(kernel: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CircularBlur(kernel, (1, 8, 8))
