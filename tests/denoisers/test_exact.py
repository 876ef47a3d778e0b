"""A learned proximal network whose regulariser is known."""

import itertools
import math
from itertools import islice

import pytest
import torch

from denoisers.conftest import draw, random_lpn
from lpn.denoisers import ExactProx, PatchLPN, evaluate, whole
from lpn.networks import LPN
from lpn.prior import invert, regulariser

SHAPE = (1, 16, 16)


def small_lpn() -> LPN:
    return random_lpn(channels=1, hidden=4, alpha=0.1)


@pytest.mark.parametrize("image", [SHAPE, (1, 20, 27)])
def test_regulariser_equals_that_by_inversion(image: tuple[int, ...]) -> None:
    model = small_lpn() if image == SHAPE else PatchLPN(small_lpn(), "uniform")
    v = draw(3, *image, seed=8)
    z, known = ExactProx(model).evaluate(v)
    torch.testing.assert_close(ExactProx(model)(v), z, rtol=0, atol=0)
    torch.testing.assert_close(model(v), z, rtol=0, atol=0)
    inversion = invert(model, z, tolerance=1e-12)
    assert inversion.converged.all()
    torch.testing.assert_close(known, regulariser(model, z, inversion.y), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_denoiser_of_any_strength_is_the_prox_of_its_regulariser(strength: float) -> None:
    """z = prox_R(v) minimises R + 1/2 ||. - v||^2, so with the Jacobian J of z(v), grad_v R(z(v)) = J (v - z)."""
    model, v = small_lpn(), draw(4, *SHAPE, seed=9).requires_grad_(True)
    z, known = ExactProx(model, strength).evaluate(v)
    torch.testing.assert_close(z, strength * model(v) + (1 - strength) * v)
    (gradient,) = torch.autograd.grad(known.sum(), v, retain_graph=True)
    (expected,) = torch.autograd.grad((z * (v - z).detach()).sum(), v)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)
    distances = (z[None] - v[:, None]).square().flatten(2).sum(2) / 2  # of v_i to each z_j
    assert (distances + known).argmin(1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("image", [SHAPE, (1, 20, 27)])
def test_repeated_steps_lower_the_regulariser(image: tuple[int, ...]) -> None:
    """By as much as half the squared length of the step: z_{k+1} minimises R + 1/2 ||. - z_k||^2."""
    start = draw(3, *image, seed=8)
    steps = list(islice(ExactProx(whole(small_lpn(), image)).steps(start), 5))
    torch.testing.assert_close(steps[0][0], whole(small_lpn(), image)(start))
    for (z, value), (new, lower) in itertools.pairwise(steps):
        length = (new - z).square().flatten(1).sum(1)
        assert (length > 1e-8).all()
        assert (lower + length / 2 <= value + 1e-10).all()


def test_regulariser_of_single_precision_is_double() -> None:
    z, known = ExactProx(small_lpn().float(), 0.5).evaluate(draw(2, *SHAPE).float())
    assert z.dtype == torch.float32
    assert known.dtype == torch.float64
    assert known.shape == (2,)


@pytest.mark.parametrize("strength", [0, -0.1, 1.1, math.nan])
def test_other_strengths_are_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=rf"strength must be in \(0, 1\], not {strength}"):
        ExactProx(small_lpn(), strength)


def test_the_regulariser_is_returned_if_it_is_known() -> None:
    model, v = small_lpn(), draw(2, *SHAPE)
    for prox, known in [(ExactProx(model), True), (model, False), (lambda v: ExactProx(model)(v).clamp(0, 1), False)]:
        z, value = evaluate(prox, v)
        torch.testing.assert_close(z, prox(v), rtol=0, atol=0)
        assert (value is not None) == known
