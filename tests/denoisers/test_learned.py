"""Trained networks as denoisers."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from denoisers.conftest import draw
from lpn.denoisers import ExactProx, PatchLPN
from lpn.denoisers.learned import Learned
from lpn.networks import LPN, Network, NetworkSettings, build_network
from lpn.settings import component

CPU = torch.device("cpu")


def network_settings(name: str, **values: Any) -> NetworkSettings:
    settings = component("network", name).model_validate({"name": name, **values})
    assert isinstance(settings, NetworkSettings)
    return settings


@pytest.fixture
def dncnn() -> Network:
    torch.manual_seed(0)
    return build_network({"name": "dncnn", "channels": 2, "depth": 3, "hidden": 4}).double().eval().requires_grad_(False)


def test_a_network_of_the_size_of_the_images(model: LPN) -> None:
    v = draw(2, 2, 16, 16)
    for average in ("uniform", "by_count"):  # there is one patch, and no average
        prox = Learned(model="m", average=average).prox(model, (2, 16, 16), CPU)
        assert isinstance(prox, ExactProx)
        torch.testing.assert_close(prox(v), model(v), rtol=0, atol=0)
    weak = Learned(model="m", strength=0.3).prox(model, (2, 16, 16), CPU)
    torch.testing.assert_close(weak(v), ExactProx(model, 0.3)(v), rtol=0, atol=0)


@pytest.mark.parametrize("stride", [None, 4])
def test_a_network_of_patches(model: LPN, stride: int | None) -> None:
    v = draw(2, 2, 20, 29)
    uniform = Learned(model="m", stride=stride, strength=0.5).prox(model, (2, 20, 29), CPU)
    assert isinstance(uniform, ExactProx)
    torch.testing.assert_close(uniform(v), ExactProx(PatchLPN(model, "uniform", stride), 0.5)(v), rtol=0, atol=0)
    by_count = Learned(model="m", average="by_count", stride=stride).prox(model, (2, 20, 29), CPU)
    assert isinstance(by_count, PatchLPN)
    torch.testing.assert_close(by_count(v), PatchLPN(model, "by_count", stride)(v), rtol=0, atol=0)


def test_a_clipped_network_is_no_exact_prox(model: LPN, dncnn: Network) -> None:
    v = 4 * draw(2, 2, 16, 16) - 2
    for network in (model, dncnn):
        prox = Learned(model="m", clip=True).prox(network, (2, 16, 16), CPU)
        assert not isinstance(prox, ExactProx)
        torch.testing.assert_close(prox(v), network(v).clamp(0, 1), rtol=0, atol=0)
    assert Learned(model="m").prox(dncnn, (2, 16, 16), CPU) is dncnn


@pytest.mark.parametrize(
    ("cpu", "faster"),
    [
        ({"cpu_name": "AMD EPYC 9654", "avx512_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC 7763", "avx512_bf16": False}, False),
        ({}, False),
    ],
)
def test_bfloat16_if_the_processor_is_faster_in_it(
    dncnn: Network, cpu: dict, faster: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    v, network = draw(2, 2, 16, 16).float(), dncnn.float()
    result = Learned(model="m", precision="bf16").prox(network, (2, 16, 16), CPU)(v)
    assert result.dtype == torch.float32
    difference = (result - network(v)).abs().max()
    assert (0 < difference < 0.05) if faster else difference == 0
    assert ("is computed in fp32" in capsys.readouterr().out) != faster


PATCH = {"name": "lpn_patch", "channels": 3, "hidden": 2, "size": 8}
DNCNN = {"name": "dncnn", "channels": 3, "hidden": 2, "depth": 3}
SHAPE = (3, 16, 20)


@pytest.mark.parametrize(
    ("network", "values", "message"),
    [
        (PATCH | {"channels": 1, "size": 16}, {}, r"takes inputs of shape \(1, 16, 16\); the images have \(3, 16, 20\)"),
        (DNCNN | {"channels": 1}, {}, r"takes inputs of shape \(1, any, any\); the images have \(3, 16, 20\)"),
        ({"name": "lpn_scalar", "hidden": 2}, {}, r"takes inputs of shape \(1\); the images have"),
        ({"name": "lpn_28", "hidden": 2, "channels": 1}, {}, r"takes inputs of shape \(1, 28, 28\)"),
        (PATCH | {"size": 24}, {"average": "by_count"}, "images of 16x20 are smaller than the patches of 24x24"),
        (PATCH, {"stride": 3}, "stride is 3, but with the average uniform it must divide the patch size 8"),
        (PATCH, {"stride": 9, "average": "by_count"}, "stride is 9, .* at most the patch size 8"),
        (PATCH, {"strength": 0.1, "average": "by_count"}, "strength is for the average uniform only"),
        (PATCH, {"precision": "bf16"}, "precision is a setting of unconstrained networks.*leave it out"),
        (DNCNN, {"stride": 4}, "stride is a setting of learned proximal networks.*leave it out"),
        (DNCNN, {"average": "by_count"}, "average is a setting of learned proximal networks"),
        (DNCNN, {"strength": 0.5}, "strength is a setting of learned proximal networks"),
    ],
)
def test_networks_that_do_not_fit_are_refused(network: dict, values: dict, message: str) -> None:
    denoiser, settings = Learned(model="m", **values), network_settings(**network)
    with pytest.raises(ValueError, match=message):
        denoiser.check_network(settings, SHAPE)


@pytest.mark.parametrize(
    ("network", "values"),
    [
        (PATCH, {}),
        (PATCH, {"stride": 2, "strength": 0.5, "clip": True}),
        (PATCH, {"stride": 3, "average": "by_count"}),
        (PATCH | {"size": 24}, {}),
        (DNCNN, {"precision": "bf16"}),
        ({"name": "gradient_step", "channels": 3, "hidden": 2}, {}),
    ],
)
def test_networks_that_fit(network: dict, values: dict) -> None:
    Learned(model="m", **values).check_network(network_settings(**network), SHAPE)


def test_sides_that_a_network_can_not_halve_are_refused() -> None:
    network = network_settings("gradient_step", channels=3, hidden=2)
    with pytest.raises(ValueError, match="gradient_step needs sides that are multiples of 2, and the images are 16x21"):
        Learned(model="m").check_network(network, (3, 16, 21))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strength": 5}, "strength\n.*less than or equal to 1"),
        ({"strength": 0}, "strength\n.*greater than 0"),
        ({"average": "mean"}, "average\n.*'uniform' or 'by_count'"),
        ({"stride": 0}, "stride\n.*greater than 0"),
        ({"weight": 0.1}, "unknown key 'weight'"),
        ({"precision": "fp16"}, "precision\n.*'fp32' or 'bf16'"),
    ],
)
def test_bad_settings_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Learned(model="m", **values)


def test_it_is_no_denoiser_without_its_network() -> None:
    with pytest.raises(TypeError, match="call `prox`"):
        Learned(model="m")(draw(1, 1, 8, 8))


def test_the_network_is_moved_to_the_device(model: LPN) -> None:
    Learned(model="m").prox(model, (2, 16, 16), CPU)
    assert model.constrained_weights()[0].is_contiguous(memory_format=torch.channels_last)
