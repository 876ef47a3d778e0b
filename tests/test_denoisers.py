import sys
from collections.abc import Callable

import pytest
import pywt
import torch
from torch import Tensor, nn

from lpn.denoisers import DENOISERS, build_denoiser
from lpn.errors import UserError
from lpn.networks import DnCNN, GradientStep, build_network


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def total_variation(x: Tensor) -> Tensor:
    """Return the isotropic total variation of each image, summed over channels, with forward differences."""
    down, right = torch.zeros_like(x), torch.zeros_like(x)
    down[..., :-1, :] = x.diff(dim=-2)
    right[..., :-1] = x.diff(dim=-1)
    return (down.square() + right.square()).sqrt().flatten(1).sum(1)


def wavelet_coefficients(x: Tensor, family: str, levels: int) -> tuple[Tensor, Tensor]:
    """Return the coarse and the detail coefficients of each image, (N, n)."""
    coarse, *details = pywt.wavedec2(x.numpy(), family, mode="periodization", level=levels)
    parts = [torch.from_numpy(part).flatten(1) for level in details for part in level]
    return torch.from_numpy(coarse).flatten(1), torch.cat(parts, dim=1)


def assert_is_minimiser(objective: Callable[[Tensor], Tensor], x: Tensor, gain: float) -> None:
    """No random perturbation of any size lowers the objective of an image by more than `gain`."""
    lowest = objective(x)
    for seed, size in enumerate((1e-3, 1e-2, 0.1, 1.0)):
        for direction in (draw(*x.shape, seed=seed) - 0.5, torch.ones_like(x), -x):
            assert (objective(x + size * direction) >= lowest - gain).all()


def test_tv_of_a_step_is_known() -> None:
    """On a step of height h between n and m columns, each side moves by weight / n and weight / m towards the other."""
    weight, left, right = 0.3, 6, 10
    x = torch.zeros(1, 2, 5, left + right, dtype=torch.float64)
    x[..., left:] = 1
    expected = torch.full_like(x, weight / left)
    expected[..., left:] = 1 - weight / right
    denoised = build_denoiser({"name": "tv", "weight": weight, "iterations": 5000})(x)
    torch.testing.assert_close(denoised, expected, rtol=0, atol=0.01)


def test_tv_is_a_proximal_operator() -> None:
    """The minimum of  1/2 ||u - x||^2 + weight TV(u),  and firmly non-expansive."""
    weight, x = 0.1, draw(2, 2, 12, 13)
    tv = build_denoiser({"name": "tv", "weight": weight, "iterations": 2000})
    u = tv(x)
    objective = lambda u: (u - x).square().flatten(1).sum(1) / 2 + weight * total_variation(u)  # noqa: E731
    assert (objective(u) < 0.9 * objective(x)).all()
    assert_is_minimiser(objective, u, 1e-3)
    torch.testing.assert_close(u.mean((2, 3)), x.mean((2, 3)), rtol=0, atol=1e-6)
    # the optimality condition <x - u, u> = weight TV(u): x - u is a subgradient of a norm-like function
    torch.testing.assert_close(((x - u) * u).flatten(1).sum(1), weight * total_variation(u), rtol=0.01, atol=0)
    other = draw(2, 2, 12, 13, seed=2)
    change, moved = tv(other) - u, other - x
    assert (change.square().flatten(1).sum(1) <= (change * moved).flatten(1).sum(1) + 1e-3).all()


@pytest.mark.parametrize(("family", "levels", "sides"), [("haar", 2, (8, 12)), ("db4", 1, (16, 16)), ("db2", 3, (32, 40))])
def test_wavelet_thresholding_is_the_proximal_operator(family: str, levels: int, sides: tuple[int, int]) -> None:
    weight, x = 0.2, draw(2, 3, *sides)
    u = build_denoiser({"name": "wavelet", "weight": weight, "family": family, "levels": levels})(x)
    coarse, details = wavelet_coefficients(x, family, levels)
    energy = coarse.square().sum(1) + details.square().sum(1)
    torch.testing.assert_close(energy, x.flatten(1).square().sum(1))  # the transform is orthogonal
    ours = wavelet_coefficients(u, family, levels)
    torch.testing.assert_close(ours[0], coarse)
    torch.testing.assert_close(ours[1], details.sign() * (details.abs() - weight).clamp_min(0), rtol=0, atol=1e-12)

    def objective(u: Tensor) -> Tensor:
        return (u - x).square().flatten(1).sum(1) / 2 + weight * wavelet_coefficients(u, family, levels)[1].abs().sum(1)

    assert_is_minimiser(objective, u, 1e-12)


@pytest.mark.parametrize("config", [{"name": "tv", "weight": 0.0001}, {"name": "wavelet", "weight": 0.0, "levels": 2}])
@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (1, 1, 37, 51)])
def test_a_weight_of_zero_changes_nothing_on_any_size(config: dict, shape: tuple[int, ...]) -> None:
    x = draw(*shape).float()
    u = build_denoiser(config)(x)
    assert u.dtype == torch.float32
    torch.testing.assert_close(u, x, rtol=0, atol=1e-3)


def test_images_of_a_batch_are_independent() -> None:
    x = draw(3, 1, 16, 16).float()
    for config in ({"name": "tv", "weight": 0.1}, {"name": "wavelet", "weight": 0.1, "levels": 1}):
        denoiser = build_denoiser(config)
        torch.testing.assert_close(torch.cat([denoiser(image[None]) for image in x]), denoiser(x), rtol=0, atol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_bm3d_denoises(channels: int) -> None:
    pytest.importorskip("bm3d", reason="the optional package bm3d is not installed")
    clean = torch.zeros(2, channels, 32, 32)
    clean[..., 8:24, 10:20] = 1
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    denoised = build_denoiser({"name": "bm3d", "sigma": 0.1})(noisy)
    assert denoised.shape == clean.shape
    assert denoised.dtype == torch.float32
    assert ((denoised - clean).square().mean((1, 2, 3)) < 0.2 * (noisy - clean).square().mean((1, 2, 3))).all()


def test_missing_bm3d_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(UserError, match=r"non-commercial.*pip install --editable '.\[bm3d\]'"):
        build_denoiser({"name": "bm3d", "sigma": 0.1})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "magic"}, rf"prox\.name' is 'magic'.*{', '.join(DENOISERS)}"),
        ({}, r"prox\.name' is None"),
        ({"name": "tv"}, "'prox' does not fit tv.*weight"),
        ({"name": "tv", "strength": 1}, "'prox' does not fit tv.*strength"),
        ({"name": "wavelet", "weight": 1, "family": "dbb4"}, r"prox\.family' is 'dbb4'"),
    ],
)
def test_bad_configs(config: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_denoiser(config)


def test_dncnn_removes_its_residual() -> None:
    torch.manual_seed(0)
    model = build_network({"name": "dncnn", "channels": 2, "depth": 4, "hidden": 5}).double()
    plain = nn.Sequential(*(part for layer in model.convolutions for part in (layer, nn.ReLU())))[:-1]
    x = draw(2, 2, 11, 14)
    torch.testing.assert_close(model(x), x - plain(x))
    assert [(layer.in_channels, layer.out_channels) for layer in model.convolutions] == [(2, 5), (5, 5), (5, 5), (5, 2)]
    published = DnCNN()
    assert sum(p.numel() for p in published.parameters()) == 2 * (64 * 9) + 15 * (64 * 64 * 9) + 16 * 64 + 1
    middle = published.convolutions[3].weight
    assert middle.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)  # He-normal
    assert all((layer.bias == 0).all() for layer in published.convolutions)


def test_gradient_step_is_one_step_down_its_potential() -> None:
    torch.manual_seed(0)
    model = GradientStep(channels=2, hidden=4, blocks=1).double()
    x = draw(2, 2, 12, 10)
    y = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(model.potential(y).sum(), y)
    torch.testing.assert_close(model(x), x - gradient)
    network = x - model.tail(model.head(x) + model.coarse(model.head(x)))
    torch.testing.assert_close(model.potential(x), network.square().flatten(1).sum(1) / 2)


def test_gradient_step_trains_and_infers() -> None:
    torch.manual_seed(0)
    model = GradientStep(channels=1, hidden=4, blocks=1).double()
    x = draw(1, 1, 8, 8)
    model(x).square().sum().backward()
    assert all(parameter.grad is not None for name, parameter in model.named_parameters() if name != "tail.2.bias")
    model.eval().requires_grad_(False)
    with torch.no_grad():
        assert not model(x).requires_grad
    with pytest.raises(UserError, match="even sides.*8 x 9"):
        model(draw(1, 1, 8, 9))
