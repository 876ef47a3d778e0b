"""Learned proximal networks in ODL's algorithms, and ODL's operators, against the solvers and operators here."""

import itertools
from typing import Any

import numpy as np
import odl
import pytest
import torch
from odl.applications import tomo

import lpn
from lpn.adapters.odl import LPNFunctional, OdlOperator
from lpn.denoisers import ExactProx, PatchLPN
from lpn.networks import LPN
from lpn.operators.tomography import Tomography
from lpn.solvers import Problem
from lpn.solvers.pdhg import PDHG

SIDE, ANGLES, DETECTORS, EXTENT = 24, 12, 35, 4.0
SHAPE = (1, SIDE, SIDE)
IMAGE = np.random.default_rng(0).random((SIDE, SIDE)).astype(np.float32)


def space(**options: Any) -> Any:
    return odl.uniform_discr([-EXTENT] * 2, [EXTENT] * 2, (SIDE, SIDE), dtype="float32", **options)


@pytest.mark.filterwarnings("ignore:The 'astra_cpu' backend may be too slow:RuntimeWarning")
def ray_transform(domain: Any) -> Any:
    transform = tomo.RayTransform(domain, tomo.parallel_beam_geometry(domain, ANGLES, DETECTORS), impl="astra_cpu")
    transform.get_impl()
    return transform


@pytest.mark.filterwarnings("ignore:The 'astra_cpu' backend may be too slow:RuntimeWarning")
def test_odls_pdhg_of_tomography_is_ours(model: LPN) -> None:
    """Both minimise  s ||A x - y||^2 + R(x) / t,  in spaces without weights."""
    scale, iterations = 1.0, 40
    ours = Tomography(SHAPE, ANGLES, DETECTORS, EXTENT)
    y = ours(torch.from_numpy(IMAGE)[None, None])
    step, dual_step = 1.0, 0.9 / ours.norm**2
    solver = PDHG(step=step, dual_step=dual_step)
    prox = ExactProx(PatchLPN(model))
    with torch.no_grad():
        found = solver.iterates(Problem(ours, y, scale), prox, torch.zeros(1, *SHAPE))
        expected = next(itertools.islice(found, iterations - 1, None)).x[0, 0].numpy()

    transform = ray_transform(space(weighting=1.0))
    data = transform.range.element(y[0, 0].numpy())
    f = LPNFunctional(model, transform.domain)
    g = scale * odl.functionals.L2NormSquared(transform.range).translated(data)
    x = transform.domain.zero()
    weight = transform.range.weighting.const  # g in the norm of the sinograms' space
    odl.solvers.pdhg(x, (1 / step) * f, (1 / weight) * g, transform, iterations, tau=step, sigma=dual_step / weight)
    theirs = np.asarray(x.data)
    assert np.linalg.norm(theirs - expected) < 1e-4 * np.linalg.norm(expected)
    assert np.linalg.norm(theirs - IMAGE) < 0.5 * np.linalg.norm(IMAGE)


@pytest.mark.parametrize("options", [{}, {"weighting": 1.0}, {"impl": "pytorch", "device": "cpu"}])
def test_the_functional_is_that_of_its_prox(model: LPN, options: dict[str, Any]) -> None:
    """prox(v) minimises  f + 1/2 ||. - v||^2  in the space's norm, where the gradient of f is v - prox(v)."""
    f = LPNFunctional(model, space(**options))
    v = f.domain.element(torch.from_numpy(IMAGE) if options.get("impl") == "pytorch" else IMAGE)
    x = f.proximal(1.0)(v)
    np.testing.assert_allclose(np.asarray(x.data), lpn.prox(model, IMAGE), atol=1e-6)
    np.testing.assert_allclose(np.asarray((f.gradient(x) - (v - x)).data), 0, atol=1e-4)

    def objective(z: Any) -> float:
        return f(z) + (z - v).norm() ** 2 / 2

    for seed, size in itertools.product((1, 2), (0.01, 0.1)):
        draws = np.random.default_rng(seed).standard_normal((SIDE, SIDE)).astype(np.float32)
        step = f.domain.element(torch.from_numpy(draws) if options.get("impl") == "pytorch" else draws)
        assert objective(x + size * step) > objective(x)
    np.testing.assert_allclose(f.derivative(x)(step), (v - x).inner(step), rtol=1e-2, atol=1e-4)


def test_what_is_no_prox_is_refused(model: LPN) -> None:
    f = LPNFunctional(model, space())
    with pytest.raises(ValueError, match=r"prox of sigma R for sigma = 1 only, not 0.5\. In an algorithm of step tau use"):
        f.proximal(0.5)
    for other in (odl.cn((4, 4)), odl.rn((4, 4)) ** 2, odl.uniform_discr(0, 1, 4, weighting=[1, 2, 3, 4]), odl.Strings(3)):
        with pytest.raises(ValueError, match="a real space of arrays with a constant weight is needed"):
            LPNFunctional(model, other)
    with pytest.raises(ValueError, match=r"shape \(3, 24, 24\), but \(N, 1, H, W\) is needed"):
        LPNFunctional(model, odl.rn((3, 24, 24)))(odl.rn((3, 24, 24)).zero())


@pytest.mark.filterwarnings("ignore:The 'astra_cpu' backend may be too slow:RuntimeWarning")
@pytest.mark.parametrize("options", [{}, {"weighting": 1.0}])
def test_operators_of_odl_are_transposed_whatever_their_weights(options: dict[str, Any]) -> None:
    operator, ours = OdlOperator(ray_transform(space(**options)), 2), Tomography((2, SIDE, SIDE), ANGLES, DETECTORS, EXTENT)
    assert (operator.input_shape, operator.output_shape) == (ours.input_shape, ours.output_shape)
    x, y = torch.rand(3, 2, SIDE, SIDE, dtype=torch.float64), torch.rand(3, 2, ANGLES, DETECTORS, dtype=torch.float64)
    torch.testing.assert_close(operator(x), ours(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(operator.adjoint(y), ours.adjoint(y), rtol=1e-4, atol=1e-4)
    assert operator.norm == pytest.approx(ours.norm, rel=1e-4)


class Wrong(odl.Operator):
    """An operator whose adjoint has another scale."""

    def __init__(self) -> None:
        super().__init__(odl.rn((4, 4)), odl.rn((4, 4)), linear=True)

    def _call(self, x: Any) -> Any:
        return 2 * x

    @property
    def adjoint(self) -> Any:
        return odl.IdentityOperator(self.domain)


def test_operators_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="ODL's Wrong: the adjoint is not that of the operator: <A x, y> = "):
        OdlOperator(Wrong())
    with pytest.raises(ValueError, match="ODL's ConstantOperator is not linear: take a linear operator"):
        OdlOperator(odl.ConstantOperator(odl.rn((4, 4)).one()))
    with pytest.raises(ValueError, match="constant weight is needed"):
        OdlOperator(odl.core.operator.pspace_ops.DiagonalOperator(odl.IdentityOperator(odl.rn((4, 4))), 2))
