"""Operators of "Learning Proximal Operators": the circular blur and the Bayer mosaic."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lpn.errors import UserError
from lpn.operators import BayerMosaic, CircularBlur, LinearOperator, build_operator, centred_kernel

MOTION = torch.rand(7, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
KERNELS = {
    "gaussian": centred_kernel("gaussian", 25, 1.6),
    "box": centred_kernel("box", 19),
    "motion": MOTION / MOTION.sum(),
    "signed": torch.tensor([[-0.5, 2.0, -0.5]], dtype=torch.float64),
}
OPERATORS = {name: CircularBlur(kernel, (2, 26, 31)) for name, kernel in KERNELS.items()} | {"bayer": BayerMosaic((3, 6, 8))}


@pytest.fixture(params=OPERATORS)
def operator(request: pytest.FixtureRequest) -> LinearOperator:
    return OPERATORS[request.param]


def random(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", KERNELS)
def test_blur_is_scipys(name: str) -> None:
    """ndimage.convolve with wrapped boundary, whose origin is k // 2 for every side."""
    from scipy.ndimage import convolve

    operator, x = OPERATORS[name], random((2, 26, 31))
    expected = [[convolve(channel, KERNELS[name].numpy(), mode="wrap") for channel in image] for image in x.numpy()]
    torch.testing.assert_close(operator(x), torch.tensor(np.array(expected)), rtol=0, atol=1e-12)
    torch.testing.assert_close(operator.initial(operator(x)), operator(x))


def test_inside_the_border_it_is_the_full_convolution() -> None:
    """Away from the border the boundary does not matter: there the published full convolution is the same."""
    from lpn.operators import Blur

    kernel, x = centred_kernel("gaussian", 5, 1.0), random((1, 20, 24))
    full = Blur(kernel, (1, 20, 24))
    circular = CircularBlur(kernel, (1, 20, 24))(x)
    torch.testing.assert_close(full.observed(full(x))[..., 2:-2, 2:-2], circular[..., 2:-2, 2:-2])


def test_kernels() -> None:
    gaussian = centred_kernel("gaussian", 25, 1.6)
    assert gaussian.sum().item() == pytest.approx(1)
    assert (gaussian[12, 13] / gaussian[12, 12]).item() == pytest.approx(np.exp(-1 / (2 * 1.6**2)))
    torch.testing.assert_close(centred_kernel("box", 19), torch.full((19, 19), 1 / 361, dtype=torch.float64))


def test_kernel_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "kernels.npy"
    np.save(path, np.stack([np.full((1, 3, 3), 1 / 9), np.eye(3)[None] / 3]).astype(np.float32))
    operator = build_operator({"name": "circular_blur", "kernel": str(path), "number": 1}, (1, 8, 8), 0)
    torch.testing.assert_close(operator._spectrum[0, 0].real.item(), 1.0, rtol=0, atol=1e-6)
    with pytest.raises(UserError, match=r"'operator.number' is 2; .* holds 2 kernels"):
        build_operator({"name": "circular_blur", "kernel": str(path), "number": 2}, (1, 8, 8), 0)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="can't be read"):
        build_operator({"name": "circular_blur", "kernel": str(path)}, (1, 8, 8), 0)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (torch.ones(3, 3), "sum to 1, not to 9"),
        (torch.full((9, 3), 1 / 27), "no larger than the image"),
        (torch.ones(3), "two axes"),
        (torch.full((3, 3), torch.nan), "finite"),
    ],
)
def test_unfit_kernels(kernel: Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CircularBlur(kernel, (1, 8, 8))


@pytest.mark.parametrize("arguments", [("disc", 5, None), ("gaussian", 5, None), ("box", 5, 1.0), ("box", 4, None)])
def test_unknown_kernels(arguments: tuple) -> None:
    with pytest.raises(UserError, match="'operator'"):
        centred_kernel(*arguments)


def test_mosaic_is_the_packages() -> None:
    from colour_demosaicing import demosaicing_CFA_Bayer_Malvar2004, mosaicing_CFA_Bayer

    x = random((3, 6, 8)).sigmoid()
    operator = BayerMosaic((3, 6, 8))
    for image, mosaic, start in zip(x, operator(x), operator.initial(operator(x)), strict=True):
        expected = mosaicing_CFA_Bayer(image.permute(1, 2, 0).numpy(), "RGGB")
        np.testing.assert_array_equal(mosaic[0].numpy(), expected)
        malvar = demosaicing_CFA_Bayer_Malvar2004(expected, "RGGB").transpose(2, 0, 1).clip(0, 1)
        np.testing.assert_allclose(start.numpy(), malvar)


@pytest.mark.parametrize("shape", [(1, 6, 8), (3, 5, 8), (3, 6, 7)])
def test_mosaic_refuses_other_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="colour images of even sides"):
        BayerMosaic(shape)
