"""Losses of regularisers against the published code and closed forms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BUNDLED
from torch import Tensor, nn

from lpn.losses import Pair
from lpn.losses.alternating import Alternating
from lpn.losses.critic import Critic, gradient_penalty
from lpn.losses.unrolled import Unrolled
from lpn.networks import Regulariser, build_network
from lpn.networks.uar import UAR, PrimalDual
from lpn.operators import LinearOperator


def read(path: Path) -> dict[str, Tensor]:
    with np.load(path) as arrays:
        return {name: torch.tensor(arrays[name].astype(np.float32)) for name in arrays}


def state(arrays: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def assert_gradients(module: nn.Module, expected: dict[str, Tensor], tolerance: float = 1e-4) -> None:
    ours = {name: parameter.grad for name, parameter in module.named_parameters()}
    assert ours.keys() == expected.keys()
    for name, gradient in ours.items():
        assert gradient is not None, name
        assert (gradient - expected[name]).norm() <= tolerance * expected[name].norm() + 1e-7, name


def test_a_step_of_the_critic_has_the_published_gradient() -> None:
    golden = read(BUNDLED / "ar_critic.npz")
    network = build_network({"name": "ar", "size": 256, "hidden": 2})
    assert isinstance(network, Regulariser)
    network.load_state_dict(state(golden, "state/"))
    pair = Pair(golden["real"], golden["fake"], golden["mix"])
    loss, weights = Critic()(network, pair, 0)
    assert loss.item() == pytest.approx(golden["loss"].item(), rel=1e-5)
    z = golden["mix"] * golden["real"] + (1 - golden["mix"]) * golden["fake"]
    assert gradient_penalty(network, z).item() == pytest.approx(golden["gradient_penalty"].item(), rel=1e-5)
    assert gradient_penalty(network, z, one_sided=True).item() == 0  # the norms are below 1
    loss.backward(inputs=weights)
    assert_gradients(network, state(golden, "grad_loss/"))


class Dense(LinearOperator):
    """The dense matrix of the reference file."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__((1, 16, 16), (1, 12, 10))
        self.matrix = matrix

    def _forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.matrix.to(x).T).view(-1, *self.output_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y.flatten(1) @ self.matrix.to(y)).view(-1, *self.input_shape)


@pytest.fixture
def golden() -> dict[str, Tensor]:
    return read(BUNDLED / "uar_generator.npz")


@pytest.fixture
def uar(golden: dict[str, Tensor]) -> UAR:
    """The published generator beside a small critic."""
    torch.manual_seed(0)
    network = build_network({"name": "uar", "size": 16, "hidden": 2, "linear": 4, "steps": 2, "filters": 4})
    assert isinstance(network, UAR)
    network.generator.load_state_dict(state(golden, "state/"))
    return network


@pytest.fixture
def pair(golden: dict[str, Tensor]) -> Pair:
    """The published measurements; x is some image."""
    image, mix = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)), torch.full((2, 1, 1, 1), 0.3)
    return Pair(image, golden["x0"], mix, golden["y"], Dense(golden["A"]))


def test_a_step_of_the_generator_has_the_published_gradient(
    golden: dict[str, Tensor], uar: UAR, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UAR, "unrolled", lambda self, operator, y, start: self.generator(operator, y, start))  # not clipped
    loss, weights = Unrolled(weight=0)(uar, pair, 0)
    assert loss.item() == pytest.approx(golden["data_loss"].item(), rel=1e-5)
    loss.backward(inputs=weights)
    assert_gradients(uar.generator, state(golden, "grad_loss/"))
    assert all(weight.grad is None for weight in uar.regulariser.parameters())


def test_the_generator_is_moved_against_the_critic(uar: UAR, pair: Pair) -> None:
    """d loss / d weight, the factor of R, is R(G(y))."""
    plain, regularised = (Unrolled(weight=weight)(uar, pair, 0)[0] for weight in (0, 2))
    *_, x = uar.unrolled(pair.operator, pair.y, pair.start)  # pyright: ignore[reportArgumentType]
    assert (regularised - plain).item() == pytest.approx(2 * uar(x).mean().item(), rel=1e-4)


def test_players_alternate(uar: UAR, pair: Pair) -> None:
    """Two steps of G, then one of R with G(y), a constant, in the place of the start."""
    loss = Alternating(weight=0.5, penalty=3)
    *_, x = uar.unrolled(pair.operator, pair.y, pair.start)  # pyright: ignore[reportArgumentType]
    assert isinstance(uar.generator, PrimalDual)
    for step in (0, 1, 3, 4):
        value, weights = loss(uar, pair, step)
        assert torch.equal(value, Unrolled(weight=0.5)(uar, pair, 0)[0])
        assert [*map(id, weights)] == [*map(id, uar.generator.parameters())]
    for step in (2, 5):
        value, weights = loss(uar, pair, step)
        assert torch.equal(value, Critic(penalty=3)(uar, Pair(pair.image, x.detach(), pair.mix), 0)[0])
        assert [*map(id, weights)] == [*map(id, uar.regulariser.parameters())]


class Linear(Regulariser):
    """R(x) = <w, x>, whose gradient is w."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__({}, (1, None, None))
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight * x).flatten(1).sum(1)


@pytest.mark.parametrize("norm", [0.0, 0.5, 3.0])
def test_the_penalty_of_a_linear_critic(norm: float) -> None:
    """(||w|| - 1)^2, and its gradient 2 (||w|| - 1) w / ||w||, which at w = 0 is 0, not NaN."""
    weight = torch.tensor([[[3.0, 4.0]]]) / 5 * norm
    critic = Linear(weight)
    z = torch.zeros(3, 1, 1, 2)
    penalty = gradient_penalty(critic, z)
    penalty.backward()
    assert penalty.item() == pytest.approx((norm - 1) ** 2)
    torch.testing.assert_close(critic.weight.grad, 2 * (norm - 1) * weight / norm if norm else 0 * weight)
    assert gradient_penalty(critic, z, one_sided=True).item() == pytest.approx(max(norm - 1, 0) ** 2)
