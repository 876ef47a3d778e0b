from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import golden_files, golden_network
from reference import plain_potential, plain_prox
from torch import Tensor

from lpn.losses import Loss
from lpn.losses.l1 import L1
from lpn.losses.l2 import L2
from lpn.losses.proximal_matching import ProximalMatching, proximal_matching
from lpn.losses.sum_of_squares import SumOfSquares
from lpn.networks import LPN


def relative_error(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def test_prox_is_the_gradient_of_the_potential(network: LPN, device: torch.device) -> None:
    x = torch.rand(3, *network.to(device).input_shape, dtype=torch.float64, device=device)
    assert relative_error(network.potential(x), plain_potential(network, x, threshold=50)) < 1e-13
    assert relative_error(network(x), plain_prox(network, threshold=50)(x)) < 1e-13


def test_prox_and_potential_are_those_of_the_two_methods(network: LPN) -> None:
    x = torch.rand(3, *network.input_shape, dtype=torch.float64)
    prox, potential = network.prox_and_potential(x)
    assert potential.shape == (3,)
    assert relative_error(prox, network(x)) < 1e-13
    torch.testing.assert_close(potential, network.potential(x), rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(network.potential(x.requires_grad_(True)).sum(), x)
    assert relative_error(prox, gradient) < 1e-13


LOSSES = [L1(), L2(), SumOfSquares(), ProximalMatching(gamma=[1.5])]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_training_gradients_equal_autograd_inside_autograd(network: LPN, loss: Loss) -> None:
    x = torch.rand(3, *network.input_shape, dtype=torch.float64)
    ours, oracle = (
        torch.autograd.grad(loss(f(x) - 0.5), network.parameters(), allow_unused=True)
        for f in (network, plain_prox(network, threshold=50))
    )
    for (name, _), a, b in zip(network.named_parameters(), ours, oracle, strict=True):
        if b is None or b.norm() == 0:  # the last bias, an offset of psi, has no gradient
            assert a is None or a.norm() == 0, name
        else:
            assert relative_error(a, b) < 1e-10, name


@pytest.mark.parametrize(
    "path", golden_files("net_laplacian", "net_mnist_h8", "net_128_c1_h8", "net_128_c3_h8"), ids=lambda path: path.stem
)
def test_published_networks(path: Path) -> None:
    arrays = np.load(path)
    model = golden_network(path)
    x, clean, noisy = (torch.tensor(arrays[name]) for name in ("x", "clean", "noisy"))
    assert relative_error(model(x), torch.tensor(arrays["forward"])) < 1e-5
    assert relative_error(model.potential(x), torch.tensor(arrays["scalar"])[:, 0]) < 1e-5
    # in float64 all that is left is the published softplus, which is linear above beta z = 20: up to 2e-9 / beta a unit
    potential = model.double().potential(x.double())
    assert relative_error(potential, torch.tensor(arrays["scalar_f64"])[:, 0]) < 1e-8
    model.float()
    gamma = float(arrays["gamma"])
    for loss, key in ((L1(), "l1"), (lambda residual: proximal_matching(residual, gamma), "pm")):
        value = loss(model(noisy) - clean)
        assert value.item() == pytest.approx(float(arrays[f"loss_{key}"]), rel=1e-5)
        gradients = torch.autograd.grad(value, model.parameters(), allow_unused=True)
        whole = [name for name in arrays if name.startswith(f"grad_{key}/")]
        assert len(whole) >= len(gradients) - 2  # of the largest kernels only parts are stored
        for (name, _), gradient in zip(model.named_parameters(), gradients, strict=True):
            if f"grad_{key}/{name}" in whole and gradient is not None:
                expected = torch.tensor(arrays[f"grad_{key}/{name}"])
                assert (gradient - expected).norm() <= 1e-4 * expected.norm(), name


def test_projection_makes_the_potential_convex(network: LPN) -> None:
    with torch.no_grad():
        for weight in network.constrained_weights():
            weight.sub_(0.01)
    network.project()
    assert all(weight.min() >= 0 for weight in network.constrained_weights())
    a, b = torch.randn(2, 50, *network.input_shape, dtype=torch.float64)
    gap = (network.potential(a) + network.potential(b)) / 2 - network.potential((a + b) / 2)
    modulus = network.alpha / 4 * (a - b).flatten(1).square().sum(1)  # 2 alpha strong convexity
    assert (gap >= modulus - 1e-9).all()


def test_input_is_left_alone_and_no_graph_is_needed(network: LPN) -> None:
    x = torch.rand(2, *network.input_shape, dtype=torch.float64)
    with torch.no_grad():
        assert not network(x).requires_grad
    network(x)
    assert not x.requires_grad


def test_bfloat16_is_close(network: LPN) -> None:
    network.float()
    x = torch.rand(4, *network.input_shape)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(x)
        output.float().square().sum().backward()
    assert relative_error(output.float(), network(x)) < 0.02


def test_forward_can_be_compiled(mnist_network: LPN) -> None:
    x = torch.rand(2, 1, 28, 28)
    traced = torch.compile(mnist_network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(traced(x), mnist_network(x))


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 1, 27, 28), (1, 28, 28)])
def test_wrong_shapes_are_refused(mnist_network: LPN, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1, 28, 28"):
        mnist_network(torch.zeros(shape))
