"""AR, ACR and UAR against the published code, and the properties that their formulas promise."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import BUNDLED, golden_files
from torch import Tensor

from lpn.metrics import psnr
from lpn.networks import Regulariser, build_network
from lpn.networks.acr import ACR
from lpn.networks.uar import UAR, PrimalDual
from lpn.operators import LinearOperator

SMALL: dict[str, dict[str, Any]] = {
    "ar": {"name": "ar", "channels": 2, "size": 20, "hidden": 2, "linear": 3},
    "ar with the squared norm": {"name": "ar", "channels": 2, "size": 20, "hidden": 2, "linear": 3, "l2": True},
    "acr": {"name": "acr", "channels": 2, "filters": 3, "layers": 2, "banks": 2, "bank_filters": 2},
    "uar": {"name": "uar", "channels": 2, "size": 20, "hidden": 2, "linear": 3, "steps": 2, "filters": 2},
}


def read(path: Path) -> dict[str, Tensor]:
    """Return the arrays of a reference file, as float32."""
    with np.load(path) as arrays:
        return {name: torch.tensor(arrays[name].astype(np.float32)) for name in arrays}


def build(settings: Mapping[str, Any]) -> Regulariser:
    """Return a regulariser, in float32."""
    torch.manual_seed(0)
    network = build_network(dict(settings))
    assert isinstance(network, Regulariser)
    return network


def state(arrays: dict[str, Tensor], prefix: str = "state/") -> dict[str, Tensor]:
    """Return the arrays below a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> bool:
    """Whether tensors are equal up to an error relative to their norm."""
    assert ours.shape == theirs.shape
    return bool((ours - theirs).norm() <= tolerance * theirs.norm())


def same_gradients(module: torch.nn.Module, theirs: dict[str, Tensor]) -> bool:
    """Whether the gradients of a module's parameters are the published ones; one that vanishes there vanishes here."""
    ours = {name: parameter.grad for name, parameter in module.named_parameters()}
    assert ours.keys() == theirs.keys()
    return all(grad is not None and close(grad, theirs[name], 1e-4) for name, grad in ours.items())


@pytest.mark.parametrize("l2", [False, True])
def test_ar_is_the_published_critic(l2: bool) -> None:
    """In float64: the critic and the squared norm cancel to a hundredth, which costs float32 two digits."""
    golden = read(BUNDLED / "ar_critic.npz")
    critic = build({"name": "ar", "size": 256, "hidden": 2, "l2": l2}).double()
    critic.load_state_dict(state(golden))
    value, gradient = critic.value_and_gradient(golden["real"].double())
    assert close(value, golden["R_plus_l2" if l2 else "R"][:, 0])
    assert close(gradient.flatten(1).norm(dim=1), golden["grad_R_plus_l2_norm" if l2 else "grad_R_norm"])
    if not l2:
        assert close(gradient[..., ::4, ::4], golden["grad_R_sub4"])


def test_the_loss_of_ar_is_the_published_one() -> None:
    """A gradient of the loss has the penalty's second derivatives."""
    golden = read(BUNDLED / "ar_critic.npz")
    critic = build({"name": "ar", "size": 256, "hidden": 2})
    critic.load_state_dict(state(golden))
    real, fake, mix = (golden[name] for name in ("real", "fake", "mix"))
    z = (mix * real + (1 - mix) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic.penalised(z).sum(), z, create_graph=True)
    penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    loss = critic(real).mean() - critic(fake).mean() + 10 * penalty
    loss.backward()
    assert close(penalty, golden["gradient_penalty"])
    assert close(loss, golden["loss"])
    assert same_gradients(critic, state(golden, "grad_loss/"))


def test_the_published_sizes() -> None:
    counts = {"ar": 19_338_465, "acr": None, "uar": 19_338_465 + 1_138_720}
    for name, count in counts.items():
        network = build({"name": name})
        parts = {part: sum(p.numel() for p in module.parameters()) for part, module in network.named_children()}
        if isinstance(network, ACR):
            assert parts["icnn"] == 590_928
        else:
            assert sum(parts.values()) == count


class Dense(LinearOperator):
    """A dense matrix, as the ray transform of the reference file."""

    def __init__(self, matrix: Tensor, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        super().__init__(input_shape, output_shape)
        self.matrix = matrix

    def _forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.matrix.T).reshape(-1, *self.output_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y.flatten(1) @ self.matrix).reshape(-1, *self.input_shape)


def test_the_generator_of_uar_is_the_published_one() -> None:
    golden = read(BUNDLED / "uar_generator.npz")
    network = build({"name": "uar", "size": 16, "hidden": 1, "steps": 2, "filters": 4})
    assert isinstance(network, UAR)
    assert isinstance(network.generator, PrimalDual)
    network.generator.load_state_dict(state(golden))
    operator = Dense(golden["A"], (1, 16, 16), (1, 12, 10))
    first, output = network.unrolled(operator, golden["y"], golden["x0"])
    assert not torch.equal(first, output)
    assert close(output, golden["output"])
    loss = (golden["y"] - operator(output)).square().mean()
    loss.backward()
    assert close(loss, golden["data_loss"])
    assert same_gradients(network.generator, state(golden, "grad_loss/"))


needs_acr = pytest.mark.skipif(not golden_files("acr_trained"), reason="LPN_GOLDEN names no folder with acr_trained.npz")


@pytest.fixture
def trained() -> tuple[ACR, dict[str, Tensor]]:
    """The ACR that others trained and published, and what it computes.

    Its gradient jumps where the input of a leaky ReLU changes its sign. There float32, which the reference was computed in,
    takes one side or the other, by the order in which a machine adds.
    """
    golden = read(golden_files("acr_trained")[0])
    network = build({"name": "acr"})
    network.load_state_dict({name: array for name, array in golden.items() if name.startswith(("icnn", "sfb", "l2_net"))})
    assert isinstance(network, ACR)
    return network, golden


@needs_acr
@pytest.mark.parametrize("image", ["clean", "noisy"])
def test_acr_is_the_published_one(trained: tuple[ACR, dict[str, Tensor]], image: str) -> None:
    network, golden = trained[0].double(), {name: array.double() for name, array in trained[1].items()}
    x = golden[f"{image}/x"]
    for name, part in {"icnn": network.icnn, "sfb": network.sfb, "l2": network.l2_net}.items():
        assert close(part(x), golden[f"{image}/{name}"][:, 0])
    value, gradient = network.value_and_gradient(x)
    assert close(value[0], golden[f"{image}/total"])
    ours, theirs = gradient[..., ::2, ::2], golden[f"{image}/grad_total_sub2"]
    same = (ours - theirs).abs() <= 1e-5 * theirs.abs().max()
    assert same.double().mean() > 0.99
    assert close(ours[same], theirs[same], 2e-6)
    (penalised,) = torch.autograd.grad(network.penalised(x.requires_grad_(True)).sum(), x)
    assert close(penalised.norm(), golden[f"{image}/grad_icnn_norm"])


@needs_acr
def test_acr_denoises_as_published(trained: tuple[ACR, dict[str, Tensor]]) -> None:
    network, golden = trained
    clean, noisy, weight = golden["clean/x"], golden["noisy/x"], golden["denoise_lambda"]

    def objective(x: Tensor) -> Tensor:
        return (x - noisy).square().sum() / 2 + weight * network.value_and_gradient(x)[0].sum()

    x = noisy
    for _ in range(int(golden["denoise_steps"])):
        x = x - golden["denoise_step"] * (x - noisy + weight * network.value_and_gradient(x)[1])
    start, ours, theirs = (objective(image) for image in (noisy, x, golden["denoised"]))
    assert (ours - theirs).abs() <= 1e-3 * (start - theirs)
    assert psnr(x.numpy(), clean.numpy())[0] == pytest.approx(float(golden["psnr_denoised"]), abs=0.01)


def test_the_initial_weights_of_acr() -> None:
    network = build({"name": "acr"})
    assert isinstance(network, ACR)
    weights = torch.cat([weight.detach().flatten() for weight in network.constrained_weights()])
    assert 0 <= weights.min() < weights.max() <= 0.001
    assert abs(weights.mean() - 0.0005) < 1e-6
    assert (network.sfb.penalty.item(), network.l2_net.l2_penalty.item()) == (-12, -9)


def test_acr_decays_all_but_the_icnn() -> None:
    network = build(SMALL["acr"])
    names = {name for name, p in network.named_parameters() if any(p is decayed for decayed in network.decayed_weights())}
    assert names == {"sfb.penalty", "sfb.conv.0.weight", "sfb.conv.1.weight", "l2_net.l2_penalty"}
    assert len(build(SMALL["ar"]).decayed_weights()) == len(list(build(SMALL["ar"]).parameters()))


def test_acr_is_convex_once_projected() -> None:
    """Between random images R is convex with the projected weights, and is not with random ones."""
    network = build(SMALL["acr"]).double()
    assert isinstance(network, ACR)
    with torch.no_grad():
        for weight in network.constrained_weights():
            weight.normal_()
    a, b = torch.randn(2, 50, 2, 9, 12, dtype=torch.float64)

    def bend() -> float:
        return (network(a) / 2 + network(b) / 2 - network((a + b) / 2)).min().item()

    assert bend() < 0
    network.project()
    assert bend() > 0


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_those_of_the_values(name: str, device: torch.device) -> None:
    """value_and_gradient agrees with finite differences, needs no graph, and leaves none."""
    network = build(SMALL[name]).double().to(device)
    x, v = torch.rand(2, 3, 2, 20, 20, dtype=torch.float64).to(device)
    with torch.no_grad():
        value, gradient = network.value_and_gradient(x)
        assert value.shape == (3,)
        slope = (network(x + 1e-7 * v) - network(x - 1e-7 * v)) / 2e-7
    assert close((gradient * v).flatten(1).sum(1), slope, 1e-5)
    assert not value.requires_grad
    assert not gradient.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(1, 3, 20, 20), (1, 2, 24, 24)])
def test_other_shapes(name: str, shape: tuple[int, ...]) -> None:
    network = build(SMALL[name])
    if isinstance(network, ACR) and shape[1] == 2:
        assert network(torch.zeros(shape)).shape == (1,)
        return
    with pytest.raises(ValueError, match=r"takes images of shape .* not \("):
        network(torch.zeros(shape))
