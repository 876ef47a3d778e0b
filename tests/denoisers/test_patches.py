from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import golden_files, golden_network
from torch import Tensor

from denoisers.conftest import draw
from lpn.certificate import certify
from lpn.denoisers import PatchLPN
from lpn.denoisers._patches import Average
from lpn.networks import LPN

SIZES = [(16, 16), (16, 24), (17, 31), (5, 40)]  # as large as a patch, multiples of the stride, neither, smaller


def patch_sum(
    f: Callable[[Tensor], Tensor], x: Tensor, size: int, tops: list[int], lefts: list[int]
) -> tuple[Tensor, Tensor]:
    """Return the sum of f over the patches at these corners, and the number of patches of each pixel, one by one."""
    total, count = torch.zeros_like(x), torch.zeros_like(x)
    for top in tops:
        for left in lefts:
            place = (..., slice(top, top + size), slice(left, left + size))
            total[place] += f(x[place])
            count[place] += 1
    return total, count


@pytest.mark.parametrize("stride", [None, 4, 16])
@pytest.mark.parametrize("sides", SIZES)
def test_uniform_average_is_the_gradient_of_its_potential(model: LPN, sides: tuple[int, int], stride: int | None) -> None:
    patches = PatchLPN(model, "uniform", stride)
    x = draw(2, 2, *sides).requires_grad_(True)
    (gradient,) = torch.autograd.grad(patches.potential(x).sum(), x)
    prox, potential = patches.prox_and_potential(x.detach())
    torch.testing.assert_close(prox, gradient, rtol=0, atol=1e-12)
    torch.testing.assert_close(potential, patches.potential(x.detach()), rtol=1e-13, atol=0)
    torch.testing.assert_close(patches(x.detach()), prox, rtol=0, atol=0)


def test_uniform_average_has_a_symmetric_positive_jacobian(model: LPN) -> None:
    patches = PatchLPN(model, "uniform", 8)
    x = draw(1, 2, 9, 11)
    jacobian = torch.autograd.functional.jacobian(lambda flat: patches(flat.view_as(x)).flatten(), x.flatten())
    torch.testing.assert_close(jacobian, jacobian.T, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(jacobian)[0] >= 2 * model.alpha * (1 - 1e-9)


def test_uniform_average_passes_the_certificate_of_images_larger_than_a_patch(model: LPN) -> None:
    certificate = certify(
        PatchLPN(model, "uniform", 8), draw(2, 2, 17, 24), lanczos_steps=8, inversion_tolerance=1e-3, seed=0
    )
    assert certificate.failures == ()
    assert certificate.modulus == 0.1
    assert certificate.smallest_ritz_value is not None
    assert certificate.smallest_ritz_value >= 0.1


def test_average_by_count_has_not(model: LPN) -> None:
    """What the uniform average is for: dividing by each pixel's own count breaks the symmetry."""
    patches = PatchLPN(model, "by_count", 8)
    x = draw(1, 2, 16, 20)
    jacobian = torch.autograd.functional.jacobian(lambda flat: patches(flat.view_as(x)).flatten(), x.flatten())
    assert (jacobian - jacobian.T).abs().max() > 1e-3 * jacobian.abs().max()


@pytest.mark.parametrize("stride", [2, 8, 16])
@pytest.mark.parametrize("sides", SIZES)
def test_uniform_average_counts_every_pixel_alike(model: LPN, sides: tuple[int, int], stride: int) -> None:
    """With f the identity, c times the average is c x; f must see every pixel in c = (size / stride)^2 patches."""
    patches = PatchLPN(model, "uniform", stride)
    seen = []

    def identity(x: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(x.sum())
        return x, x.flatten(1).sum(1)

    patches.model.prox_and_potential = identity
    x = draw(1, 2, *sides)
    prox, potential = patches.prox_and_potential(x)
    torch.testing.assert_close(prox, x)
    torch.testing.assert_close(sum(seen), (16 // stride) ** 2 * x.sum())
    torch.testing.assert_close(potential, x.flatten(1).sum(1))


@pytest.mark.parametrize("sides", [(16, 16), (24, 32), (19, 30)])
def test_average_by_count_equals_a_loop_over_patches(model: LPN, sides: tuple[int, int]) -> None:
    x = draw(2, 2, *sides)
    tops, lefts = (sorted({*range(0, n - 16 + 1, 8), n - 16}) for n in sides)
    total, count = patch_sum(model, x, 16, tops, lefts)
    torch.testing.assert_close(PatchLPN(model, "by_count")(x), total / count, rtol=0, atol=1e-13)


def test_uniform_average_equals_a_loop_over_patches(model: LPN) -> None:
    x = draw(2, 2, 17, 31)
    padded = torch.zeros(2, 2, 64, 64, dtype=x.dtype)
    padded[..., 8:25, 8:39] = x
    total, _ = patch_sum(model, padded, 16, [0, 8, 16, 24], [0, 8, 16, 24, 32])
    torch.testing.assert_close(PatchLPN(model)(x), total[..., 8:25, 8:39] / 4, rtol=0, atol=1e-13)


@pytest.mark.parametrize("average", ["uniform", "by_count"])
def test_batches_change_nothing(model: LPN, average: Average) -> None:
    x = draw(3, 2, 24, 33)
    prox, potential = PatchLPN(model, average).prox_and_potential(x)
    for batch in (1, 5, 1000):
        again = PatchLPN(model, average, batch=batch).prox_and_potential(x)
        torch.testing.assert_close(again[0], prox, rtol=0, atol=1e-13)
        torch.testing.assert_close(again[1], potential, rtol=1e-13, atol=0)
    alone = [PatchLPN(model, average).prox_and_potential(image[None]) for image in x]
    torch.testing.assert_close(torch.cat([a for a, _ in alone]), prox, rtol=0, atol=1e-13)
    torch.testing.assert_close(torch.cat([b for _, b in alone]), potential, rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    ("average", "stride", "message"),
    [
        ("mean", None, "average must be one of uniform, by_count, not 'mean'"),
        ("uniform", 5, "stride is 5.*divide.*16"),
        ("uniform", 0, "stride is 0"),
        ("uniform", -4, "stride is -4"),
        ("uniform", 32, "stride is 32"),
        ("by_count", 17, "stride is 17.*at most.*16"),
    ],
)
def test_bad_settings(model: LPN, average: Average, stride: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PatchLPN(model, average, stride)


def test_misfits(model: LPN) -> None:
    for average in ("uniform", "by_count"):
        for shape in [(1, 3, 16, 16), (2, 16, 16)]:
            with pytest.raises(ValueError, match="2 channels"):
                PatchLPN(model, average)(torch.zeros(shape).double())
    with pytest.raises(ValueError, match=r"\(16, 15\) are smaller than the patches of 16x16"):
        PatchLPN(model, "by_count")(torch.zeros(1, 2, 16, 15).double())
    with pytest.raises(ValueError, match="no potential"):
        PatchLPN(model, "by_count").potential(torch.zeros(1, 2, 16, 16).double())


@pytest.mark.parametrize("path", golden_files("patch_denoise"), ids=lambda path: path.stem)
def test_published_patches(path: Path) -> None:
    """Published patches leave what is left over at the far border undefined; ours add patches that end there."""
    arrays = np.load(path)
    patches = PatchLPN(golden_network(path.with_name("net_128_c1_h8.npz")).requires_grad_(False), "by_count")
    x, x192 = (torch.from_numpy(arrays[name].astype(np.float32))[None, None] for name in ("x", "x192"))
    np.testing.assert_allclose(patches(x192)[0, 0], arrays["out192"], rtol=0, atol=1e-4 * np.abs(arrays["out192"]).max())
    ours, published = patches(x)[0, 0].numpy(), arrays["out"]
    assert np.isnan(published[:, 128:]).all()
    assert np.isfinite(ours).all()
    # columns that the added patches, from column 32 on, do not reach
    np.testing.assert_allclose(ours[:, :32], published[:, :32], rtol=0, atol=1e-4 * np.nanmax(np.abs(published)))
