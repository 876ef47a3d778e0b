import numpy as np
import pytest
import torch
from conftest import BUNDLED, golden_network

from lpn.networks import LPN
from lpn.networks._icnn import IcnnLPN
from lpn.networks.lpn_28 import Lpn28
from lpn.prior import METHODS, _QuasiNewton, invert, regulariser


@pytest.fixture
def laplacian() -> tuple[LPN, dict[str, np.ndarray]]:
    path = BUNDLED / "net_laplacian.npz"
    return golden_network(path).double().requires_grad_(False), np.load(path)


def test_published_laplacian_prior(laplacian: tuple[LPN, dict[str, np.ndarray]]) -> None:
    model, arrays = laplacian
    x = torch.tensor(arrays["grid_x"])[:, None]
    inversion = invert(model, x, tolerance=1e-9)
    assert inversion.converged.all()
    prior = regulariser(model, x, inversion.y).numpy()
    np.testing.assert_allclose(prior, arrays["grid_prior"], atol=1e-5)  # upstream's Adam stops about 1e-3 from y


@pytest.mark.parametrize("method", METHODS)
def test_methods_agree(method: str, mnist_network: LPN) -> None:
    model = mnist_network.double().requires_grad_(False)
    y = torch.tensor(np.load(BUNDLED / "net_mnist_h8.npz")["x"]).double()
    x = model(y)
    start = y + 0.01 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    inversion = invert(model, x, method, tolerance=1e-3, max_iterations=1000, start=start)
    assert inversion.converged.all()
    torch.testing.assert_close(regulariser(model, x, inversion.y), regulariser(model, x, y), atol=1e-2, rtol=1e-3)


def test_inversion_recovers_the_preimage(mnist_network: LPN, device: torch.device) -> None:
    model = mnist_network.double().to(device).requires_grad_(False)
    y = torch.tensor(np.load(BUNDLED / "net_mnist_h8.npz")["x"]).double().to(device)
    inversion = invert(model, model(y), tolerance=1e-10, max_iterations=100)
    torch.testing.assert_close(inversion.y, y, atol=1e-6, rtol=0)
    residual = (model(inversion.y) - model(y)).flatten(1).norm(dim=1) / model(y).flatten(1).norm(dim=1)
    torch.testing.assert_close(inversion.residual, residual, atol=1e-12, rtol=0.1)


def test_a_solved_start_needs_no_iteration(mnist_network: LPN) -> None:
    model = mnist_network.double().requires_grad_(False)
    y = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    inversion = invert(model, model(y), start=y)
    assert inversion.iterations == 0
    assert torch.equal(inversion.y, y)
    assert invert(model, model(y), start=y.float()).y.dtype == torch.float64


def test_unconverged_samples_are_reported(mnist_network: LPN) -> None:
    model = mnist_network.double().requires_grad_(False)
    inversion = invert(model, torch.rand(2, 1, 28, 28, dtype=torch.float64), "cvx_cg", 1e-12, max_iterations=1)
    assert not inversion.converged.any()
    assert (inversion.residual > 1e-12).all()


def test_f_is_the_proximal_operator_of_the_prior(laplacian: tuple[LPN, dict[str, np.ndarray]]) -> None:
    """f(x) minimises 1/2 (u - x)^2 + R(u) over the range of f, by exhaustive search."""
    model, _ = laplacian
    y = torch.linspace(-4, 4, 4001, dtype=torch.float64)[:, None]
    u = model(y)
    prior = regulariser(model, u, y)
    for x in torch.tensor([[-3.0], [-0.7], [0.2], [2.5]], dtype=torch.float64):
        best = u[((u[:, 0] - x) ** 2 / 2 + prior).argmin()]
        assert abs(best - model(x[None])[0]) < 2e-3


def test_prior_is_exact_for_a_quadratic() -> None:
    """psi = alpha ||x||^2 alone: f = 2 alpha x and R(x) = (1 / (4 alpha) - 1/2) ||x||^2."""
    model = Lpn28(hidden=2, alpha=0.3).build().double().requires_grad_(False)
    for parameter in model.parameters():
        parameter.zero_()
    x = torch.rand(3, 1, 28, 28, dtype=torch.float64)
    inversion = invert(model, x, tolerance=1e-12)
    expected = (1 / (4 * 0.3) - 1 / 2) * x.flatten(1).square().sum(1)
    torch.testing.assert_close(regulariser(model, x, inversion.y), expected)


def test_unknown_methods_are_refused(mnist_network: LPN) -> None:
    with pytest.raises(ValueError, match="unknown inversion method 'newton'; the known ones are: quasi_newton"):
        invert(mnist_network, torch.zeros(1, 1, 28, 28), "newton")


@pytest.mark.parametrize("alpha", [0.0, 1e-6])
def test_ill_conditioned_models_converge_or_say_so(alpha: float) -> None:
    """Without the quadratic term noise is out of reach."""
    torch.manual_seed(0)
    model = Lpn28(hidden=4, alpha=alpha).build().double().requires_grad_(False)
    reached = model(torch.rand(2, 1, 28, 28, dtype=torch.float64))
    x = torch.cat([reached, torch.randn(2, 1, 28, 28, dtype=torch.float64)])
    inversion = invert(model, x, tolerance=1e-4, max_iterations=30)
    residual = (model(inversion.y) - x).flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1).clamp_min(0.28)
    torch.testing.assert_close(inversion.residual, residual)
    assert torch.equal(inversion.converged, residual <= 1e-4)
    assert inversion.converged.tolist() == [True, True, alpha > 0, alpha > 0]


def test_a_sample_that_does_not_converge_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others end at the y that they have without it, and cost nothing from then on."""
    torch.manual_seed(0)
    model = Lpn28(hidden=4, alpha=0).build().double().requires_grad_(False)
    reached = model(torch.rand(5, 1, 28, 28, dtype=torch.float64))
    alone = invert(model, reached, tolerance=1e-4, max_iterations=50)
    assert alone.converged.all()
    sizes, evaluate = [], IcnnLPN.prox_and_potential
    monkeypatch.setattr(IcnnLPN, "prox_and_potential", lambda self, x: (sizes.append(len(x)), evaluate(self, x))[1])
    hopeless = torch.full((1, 1, 28, 28), torch.nan, dtype=torch.float64)
    for sample, most in ((hopeless, 2), (torch.randn(1, 1, 28, 28, dtype=torch.float64), 500)):
        sizes.clear()
        together = invert(model, torch.cat([reached, sample]), tolerance=1e-4, max_iterations=50)
        torch.testing.assert_close(together.y[:5], alone.y, rtol=1e-4, atol=1e-4)
        assert together.converged.tolist() == [True] * 5 + [False]
        assert sum(size > 1 for size in sizes) <= alone.iterations + 5
        assert sum(sizes) <= 6 * (alone.iterations + 5) + most


def test_rounding_ends_the_float32_phase(laplacian: tuple[LPN, dict[str, np.ndarray]]) -> None:
    """Scalar networks that float32 can't solve to 1e-6 cost a few iterations, not the largest number of them."""
    model, _ = laplacian
    for seed in range(30):
        x = 9 * torch.rand(40, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 4.5
        inversion = invert(model, x)
        assert inversion.converged.all()
        assert inversion.iterations < 60


@pytest.mark.parametrize("count", [0, 1])
def test_small_batches_and_no_iterations(count: int, mnist_network: LPN) -> None:
    model = mnist_network.double().requires_grad_(False)
    x = torch.rand(count, 1, 28, 28, dtype=torch.float64)
    inversion = invert(model, x, max_iterations=0)
    assert inversion.iterations == 0
    assert torch.equal(inversion.y, x)
    assert inversion.converged.shape == (count,)
    assert not inversion.converged.any()


def test_the_quasi_newton_direction_is_that_of_a_dense_matrix() -> None:
    """Of BFGS from the diagonal, H' = (I - s z' / <s, z>) H (I - z s' / <s, z>) + s s' / <s, z>, for each sample."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
    root = draw(3, 6, 6)
    hessian = root @ root.mT + torch.eye(6)
    memory, steps = _QuasiNewton(draw(3, 6)), draw(4, 3, 6)
    for s in steps:
        memory._remember(s, (hessian @ s[..., None])[..., 0])
    g = draw(3, 6)
    for sample in range(3):
        inverse = torch.diag(1 / memory._diagonal()[sample].double())
        for s in steps[:, sample]:
            z = hessian[sample] @ s
            left = torch.eye(6) - torch.outer(s, z) / (s @ z)
            inverse = left @ inverse @ left.T + torch.outer(s, s) / (s @ z)
        torch.testing.assert_close(memory._times_inverse(g)[sample], inverse @ g[sample])
