"""Learned proximal networks in deepinv's algorithms, against the solvers here."""

import itertools
from typing import Any

import deepinv
import pytest
import torch
from torch import Tensor

import lpn
from lpn.adapters.deepinv import LPNDenoiser, LPNPrior
from lpn.denoisers import ExactProx, PatchLPN
from lpn.networks import LPN
from lpn.operators.deepinv import DeepinvOperator
from lpn.solvers import Problem
from lpn.solvers.admm import ADMM
from lpn.solvers.pgd import PGD

SHAPE = (1, 24, 20)
GENERATOR = torch.Generator().manual_seed(0)
TRUTH = torch.rand(2, *SHAPE, generator=GENERATOR)
PHYSICS = deepinv.physics.Inpainting(SHAPE, mask=(torch.rand(SHAPE, generator=GENERATOR) < 0.6).float())
MEASURED = PHYSICS(TRUTH)
STEP = 0.8  # t, so that the weight of R is 1/t
ITERATIONS = 30


def ours(solver: Any, prox: ExactProx) -> Tensor:
    """Return the last output of the denoiser in a solver for  1/2 ||A x - y||^2 + R(x) / t."""
    operator = DeepinvOperator(PHYSICS, SHAPE)
    found = solver.iterates(Problem(operator, MEASURED, 0.5, tolerance=1e-7), prox, operator.adjoint(MEASURED))
    with torch.no_grad():
        return next(itertools.islice(found, ITERATIONS - 1, None)).z


def assert_same(theirs: Tensor, expected: Tensor) -> None:
    assert (theirs - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_proximal_gradient_descent(model: LPN, strength: float) -> None:
    prior = LPNPrior(model, strength)
    options = {"stepsize": STEP, "lambda_reg": 1 / STEP, "max_iter": ITERATIONS}
    algorithm = deepinv.optim.PGD(data_fidelity=deepinv.optim.L2(), prior=prior, **options)
    assert_same(algorithm(MEASURED, PHYSICS), ours(PGD(step=STEP), ExactProx(PatchLPN(model), strength)))


def test_admm_of_the_builder(model: LPN) -> None:
    options: dict[str, Any] = {"params_algo": {"stepsize": STEP, "lambda": 1 / STEP, "g_param": None, "beta": 1.0}}
    options |= {"prior": LPNPrior(model), "data_fidelity": deepinv.optim.L2(), "max_iter": ITERATIONS}
    algorithm = deepinv.optim.optim_builder("ADMM", **options)
    assert_same(algorithm(MEASURED, PHYSICS), ours(ADMM(rho=1 / STEP, order="123"), ExactProx(PatchLPN(model))))


def test_plug_and_play_with_the_denoiser(model: LPN) -> None:
    prior = deepinv.optim.PnP(LPNDenoiser(model))
    options = {"stepsize": STEP, "sigma_denoiser": 0.1, "max_iter": ITERATIONS}
    algorithm = deepinv.optim.PGD(data_fidelity=deepinv.optim.L2(), prior=prior, **options)
    assert_same(algorithm(MEASURED, PHYSICS), ours(PGD(step=STEP), ExactProx(PatchLPN(model))))


@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize("shape", [(1, 16, 16), SHAPE])
def test_the_value_and_the_gradient_are_those_of_the_prox(model: LPN, strength: float, shape: tuple[int, ...]) -> None:
    """x = prox(v) knows R(x), and grad R(x) = v - x."""
    prior, v = LPNPrior(model, strength), torch.rand(2, *shape, generator=GENERATOR)
    exact = ExactProx(model if shape == model.input_shape else PatchLPN(model), strength)
    with torch.no_grad():
        x, value = exact.evaluate(v)
    for _ in range(2):  # by inversion, and at the last output of the prox
        torch.testing.assert_close(prior(x), value, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(prior.grad(x), v - x, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(prior.prox(v, gamma=1.0), x)


def test_the_denoiser_is_the_network_and_can_be_trained(model: LPN) -> None:
    x = torch.rand(1, *SHAPE, generator=GENERATOR)
    denoised = LPNDenoiser(model)(x.requires_grad_(), 0.1)
    torch.testing.assert_close(denoised.detach(), lpn.prox(model, x))
    assert torch.autograd.grad(denoised.sum(), x)[0].norm() > 0


@pytest.mark.parametrize("gamma", [0.5, 2.0, torch.tensor(0.9)])
def test_other_weights_are_refused(model: LPN, gamma: float) -> None:
    with pytest.raises(ValueError, match=rf"prox of gamma R for gamma = 1 only, not {float(gamma):g}\. Choose stepsize and"):
        LPNPrior(model).prox(TRUTH, gamma=gamma)


def test_other_images_are_refused(model: LPN) -> None:
    for use in (LPNPrior(model), LPNPrior(model).grad, LPNPrior(model).prox):
        with pytest.raises(ValueError, match=r"shape \(2, 3, 24, 20\), but \(N, 1, H, W\) is needed"):
            use(TRUTH.expand(-1, 3, -1, -1))
    with pytest.raises(ValueError, match="takes images of 1 channels"):
        LPNDenoiser(model)(TRUTH.expand(-1, 3, -1, -1))
    with pytest.raises(ValueError, match=r"strength must be in \(0, 1\], not 2"):
        LPNPrior(model, 2)
