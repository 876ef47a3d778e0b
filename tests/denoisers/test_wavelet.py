import pytest
import pywt
import torch
from pydantic import ValidationError
from torch import Tensor

from denoisers.conftest import assert_is_minimiser, draw
from lpn.denoisers.wavelet import Wavelet


def coefficients(x: Tensor, family: str, levels: int) -> tuple[Tensor, Tensor]:
    """Return the coarse and the detail coefficients of each image, (N, n)."""
    coarse, *details = pywt.wavedec2(x.numpy(), family, mode="periodization", level=levels)
    parts = [torch.from_numpy(part).flatten(1) for level in details for part in level]
    return torch.from_numpy(coarse).flatten(1), torch.cat(parts, dim=1)


@pytest.mark.filterwarnings("ignore:Level value of .* is too high:UserWarning")
@pytest.mark.parametrize(
    ("family", "levels", "sides"),
    [("haar", 2, (8, 12)), ("db4", 1, (16, 16)), ("db2", 3, (32, 40)), ("db4", 4, (16, 32))],
)
def test_thresholding_is_the_proximal_operator(family: str, levels: int, sides: tuple[int, int]) -> None:
    weight, x = 0.2, draw(2, 3, *sides)
    u = Wavelet(weight=weight, family=family, levels=levels)(x)
    coarse, details = coefficients(x, family, levels)
    energy = coarse.square().sum(1) + details.square().sum(1)
    torch.testing.assert_close(energy, x.flatten(1).square().sum(1))  # the transform is orthogonal
    ours = coefficients(u, family, levels)
    torch.testing.assert_close(ours[0], coarse)
    torch.testing.assert_close(ours[1], details.sign() * (details.abs() - weight).clamp_min(0), rtol=0, atol=1e-12)

    def objective(u: Tensor) -> Tensor:
        return (u - x).square().flatten(1).sum(1) / 2 + weight * coefficients(u, family, levels)[1].abs().sum(1)

    assert_is_minimiser(objective, u, 1e-12)


@pytest.mark.parametrize(
    ("sides", "levels"), [((128, 128), 4), ((64, 32), 4), ((500, 500), 2), ((24, 32), 3), ((10, 64), 1), ((16, 16), 4)]
)
def test_as_many_levels_as_keep_the_transform_orthogonal(sides: tuple[int, int], levels: int) -> None:
    x = draw(1, 1, *sides)
    torch.testing.assert_close(Wavelet(weight=0.1)(x), Wavelet(weight=0.1, levels=levels)(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("levels", "sides", "message"),
    [
        (None, (37, 50), "1 levels need sides that are multiples of 2, not 37 x 50"),
        (3, (32, 20), "3 levels need sides that are multiples of 8, not 32 x 20.*fewer levels"),
        (10, (64, 64), "10 levels need sides that are multiples of 1024, not 64 x 64"),
    ],
)
def test_sides_that_do_not_fit_are_refused(levels: int | None, sides: tuple[int, int], message: str) -> None:
    wavelet = Wavelet(weight=0.1, levels=levels)
    with pytest.raises(ValueError, match=message):
        wavelet.check((3, *sides))
    with pytest.raises(ValueError, match=message):
        wavelet(draw(1, 3, *sides))


def test_a_weight_of_zero_changes_nothing() -> None:
    x = draw(2, 3, 32, 36).float()
    u = Wavelet(weight=0.0, levels=2)(x)
    assert u.dtype == torch.float32
    torch.testing.assert_close(u, x)


def test_images_of_a_batch_are_independent() -> None:
    x, wavelet = draw(3, 1, 16, 16).float(), Wavelet(weight=0.1, levels=1)
    torch.testing.assert_close(torch.cat([wavelet(image[None]) for image in x]), wavelet(x), rtol=0, atol=0)


@pytest.mark.parametrize("family", ["dbb4", "bior2.2", ""])
def test_other_wavelets_are_refused(family: str) -> None:
    with pytest.raises(ValidationError, match=f"'{family}' is no orthogonal wavelet of PyWavelets, such as db4"):
        Wavelet(weight=1, family=family)
