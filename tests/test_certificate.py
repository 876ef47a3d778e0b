from typing import Any

import pytest
import torch
from conftest import BUNDLED, golden_network

from lpn.certificate import CertificateSettings, certify, certify_convex, jacobian_asymmetry, smallest_ritz_value
from lpn.networks import LPN, Regulariser, build_network
from lpn.networks.acr import ACR, ACRSettings
from lpn.networks.lpn_28 import Lpn28

SETTINGS: dict[str, Any] = {"lanczos_steps": 40, "inversion_tolerance": 1e-3, "seed": 0}


def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def jacobian(model: LPN, x: torch.Tensor) -> torch.Tensor:
    n = x.numel()
    return torch.autograd.functional.jacobian(model, x[None]).reshape(n, n)


def test_trained_network_passes(mnist_network: LPN, device: torch.device) -> None:
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(device)
    certificate = certify(mnist_network.to(device).requires_grad_(False), x, **SETTINGS)
    assert certificate.failures == ()
    assert certificate.smallest_weight is not None
    assert certificate.smallest_weight >= 0
    assert certificate.modulus == 0.02
    assert certificate.smallest_ritz_value is not None
    assert certificate.smallest_ritz_value >= 0.02 - 1e-9
    assert certificate.as_dict()["passed"]


def test_ritz_values_against_dense_eigenvalues(mnist_network: LPN) -> None:
    model = mnist_network.double().requires_grad_(False)
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = torch.stack([torch.linalg.eigvalsh(jacobian(model, sample))[0] for sample in x])
    ritz = smallest_ritz_value(model, x, 350, random())
    assert (ritz >= exact - 1e-10).all()
    torch.testing.assert_close(ritz, exact, atol=1e-4, rtol=0)
    few = smallest_ritz_value(model, x, 5, random())
    assert (few >= ritz - 1e-10).all()


def test_negative_weights_are_found_out(mnist_network: LPN) -> None:
    with torch.no_grad():
        mnist_network.constrained_weights()[-1].neg_()
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    certificate = certify(mnist_network.requires_grad_(False), x, **SETTINGS)
    text = " ".join(certificate.failures)
    assert "smallest constrained weight" in text
    assert "eigenvalue" in text
    assert "monotone" in text
    assert not certificate.as_dict()["passed"]


def test_weights_that_are_not_finite_are_found_out(mnist_network: LPN) -> None:
    with torch.no_grad():
        mnist_network.get_parameter("res.0.bias")[0] = float("nan")
    certificate = certify(mnist_network.requires_grad_(False), torch.rand(2, 1, 28, 28), **SETTINGS)
    assert certificate.failures == ("a weight is not finite",)


def test_jacobians_that_are_not_finite_are_found_out(mnist_network: LPN) -> None:
    with torch.no_grad():
        for weight in mnist_network.double().constrained_weights():
            weight.fill_(1e100)
    certificate = certify(mnist_network.requires_grad_(False), torch.rand(2, 1, 28, 28, generator=random()), **SETTINGS)
    assert certificate.failures == ("a measured value is not a number",)


def test_exhausted_krylov_spaces_are_no_failure() -> None:
    """psi = alpha ||x||^2: every vector is an eigenvector, so Lanczos breaks down at once."""
    model = Lpn28(hidden=2, alpha=0.3).build().double().requires_grad_(False)
    for parameter in model.parameters():
        parameter.zero_()
    ritz = smallest_ritz_value(model, torch.rand(2, 1, 28, 28, dtype=torch.float64), 10, random())
    torch.testing.assert_close(ritz, torch.full((2,), 0.6, dtype=torch.float64))


def test_asymmetry_is_seen(mnist_network: LPN) -> None:
    class Skewed(LPN):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 0.1 * x.roll(1, -1)

    x = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    assert jacobian_asymmetry(Skewed(), x, random()).min() > 0.05
    assert jacobian_asymmetry(mnist_network.double(), x, random()).max() < 1e-12


def test_scalar_networks_are_certified() -> None:
    model = golden_network(BUNDLED / "net_laplacian.npz").requires_grad_(False)
    certificate = certify(model, torch.linspace(-3, 3, 16)[:, None], **SETTINGS)
    assert certificate.modulus == 0
    assert certificate.failures == ()


def test_the_network_stays_as_it_is(mnist_network: LPN) -> None:
    x = torch.rand(2, 1, 28, 28)
    before = mnist_network(x)
    certify(mnist_network, x, **SETTINGS | {"lanczos_steps": 2})
    assert torch.equal(mnist_network(x), before)
    assert all(parameter.requires_grad for parameter in mnist_network.parameters())


def test_settings_have_ranges() -> None:
    with pytest.raises(ValueError, match="points"):
        CertificateSettings(points=1, **SETTINGS)


@pytest.fixture
def convex() -> Regulariser:
    """A convex regulariser whose weights are far from 0."""
    torch.manual_seed(0)
    network = build_network({"name": "acr", "filters": 3, "layers": 2, "banks": 1, "bank_filters": 2})
    assert isinstance(network, Regulariser)
    with torch.no_grad():
        for weight in network.constrained_weights():
            weight.uniform_()
    return network


def test_a_convex_regulariser_passes(convex: Regulariser) -> None:
    certificate = certify_convex(convex, torch.rand(3, 1, 12, 14, generator=random()), seed=0)
    assert certificate.failures == ()
    assert certificate.as_dict() == {
        "smallest_weight": certificate.smallest_weight,
        "convexity": certificate.convexity,
        "monotonicity": certificate.monotonicity,
        "failures": [],
        "passed": True,
        "certified": "convex",
    }
    assert certificate.smallest_weight == min(weight.min() for weight in convex.constrained_weights())


def test_a_regulariser_that_is_not_convex_is_found_out(convex: Regulariser) -> None:
    with torch.no_grad():
        for weight in convex.constrained_weights():
            weight.neg_()
    certificate = certify_convex(convex, torch.rand(3, 1, 12, 14, generator=random()), seed=0)
    text = "; ".join(certificate.failures)
    for word in ("the smallest constrained weight is -", "not convex along a segment", "not monotone"):
        assert word in text
    convex.get_parameter("icnn.wx.0.bias").data.fill_(float("inf"))
    assert certify_convex(convex, torch.rand(2, 1, 12, 14), seed=0).failures == ("a weight is not finite",)


class Concave(ACR):
    """A concave function with weights >= 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -super().forward(x)


class Undefined(ACR):
    """Not a number where an image is dark."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + torch.where(x.mean((1, 2, 3)) < 0.1, torch.nan, 0)


def test_one_value_that_is_no_number_is_found_out() -> None:
    model = Undefined(ACRSettings(filters=2, layers=1, banks=1, bank_filters=1))
    images = torch.rand(4, 1, 12, 14, generator=random())
    assert certify_convex(model, images, seed=0).failures == ()
    images[1] *= 0.1
    assert certify_convex(model, images, seed=0).failures == ("a measured value is not a number",)


def test_the_measured_convexity_is_that_of_the_function() -> None:
    model = Concave(ACRSettings(filters=2, layers=1, banks=1, bank_filters=1))
    certificate = certify_convex(model, torch.rand(3, 1, 12, 14, generator=random()), seed=0)
    assert len(certificate.failures) == 2
