"""Certificates of trained networks: that an LPN is a proximal operator, and that a convex regulariser is convex.

An LPN must have a convex psi, whose gradient is symmetric, monotone and invertible. By Gribonval and Nikolova (2020, "A
characterization of proximity operators") f is a prox iff it is the gradient of a convex function. Non-negative weights prove
that for exact arithmetic (LPN paper, Proposition 3.1), and that a regulariser is convex; the other entries measure it on the
very network that will be used.
"""

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from lpn.networks import LPN, Regulariser
from lpn.prior import invert
from lpn.seeds import torch_generator
from lpn.settings import Settings

SYMMETRY_TOLERANCE = 1e-9  # relative, in float64
EIGENVALUE_TOLERANCE = 1e-9
CONVEXITY_TOLERANCE = 1e-9


class CertificateSettings(Settings):
    """How a network is certified, see `certify`."""

    points: int = Field(default=16, ge=2, description="number of data points at which the network is examined")
    lanczos_steps: PositiveInt = Field(default=40, description="Lanczos steps for the smallest eigenvalue of the Jacobian")
    inversion_tolerance: PositiveFloat = Field(default=1e-3, description="largest relative inversion residual that passes")
    seed: NonNegativeInt = Field(default=0, description="seed of the random vectors")
    side: PositiveInt = Field(
        default=128, description="side of the centres of images at which networks of images of any size are examined"
    )


class _Entries:
    certified: ClassVar[str]  # what a network is that passes
    failures: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the entries as plain values, with `passed`, and what it `certified`."""
        entries = {field.name: getattr(self, field.name) for field in fields(self)}  # pyright: ignore[reportArgumentType]
        return entries | {"failures": list(self.failures), "passed": not self.failures, "certified": self.certified}


@dataclass(frozen=True)
class Certificate(_Entries):
    """What was measured, all in float64 (None if weights are not finite); `failures` is empty if the network passed.

    Attributes:
        smallest_weight: smallest constrained weight, must be >= 0.
        asymmetry: largest ||J v - J^T v|| / ||J v|| over points and random v.
        smallest_ritz_value: smallest Ritz value of J over the points, an upper bound of its smallest eigenvalue, must
            be >= modulus: one below disproves convexity.
        modulus: 2 alpha, the strong convexity of psi.
        monotonicity: smallest `<f(a) - f(b), a - b> / ||a - b||^2` over random pairs, must be >= modulus.
        inversion_residual: largest relative residual of the inversion of the points (`lpn.prior.Inversion`).
        failures: one sentence for each requirement that was not met.
    """

    smallest_weight: float | None
    asymmetry: float | None
    smallest_ritz_value: float | None
    modulus: float
    monotonicity: float | None
    inversion_residual: float | None
    failures: tuple[str, ...]
    certified: ClassVar[str] = "prox"


@dataclass(frozen=True)
class ConvexCertificate(_Entries):
    """What was measured of a regulariser R, all in float64 (None if weights are not finite), as in `Certificate`.

    Attributes:
        smallest_weight: smallest constrained weight, must be >= 0.
        convexity: smallest `((1-t) R(a) + t R(b) - R((1-t) a + t b)) / max(|R(a)|, |R(b)|)` over random segments,
            must be >= 0.
        monotonicity: smallest `<grad R(a) - grad R(b), a - b> / ||a - b||^2` over their ends, must be >= 0.
        failures: one sentence for each requirement that was not met.
    """

    smallest_weight: float | None
    convexity: float | None
    monotonicity: float | None
    failures: tuple[str, ...]
    certified: ClassVar[str] = "convex"


def _orthogonal(w: Tensor, basis: Tensor) -> Tensor:
    """Return w (N, d) without its components along the orthonormal basis (N, k, d)."""
    for _ in range(2):
        w = w - torch.einsum("nkd,nk->nd", basis, torch.einsum("nkd,nd->nk", basis, w))
    return w


def smallest_ritz_value(model: LPN, x: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    """Return the smallest Ritz value of J_f at each point x (N, ...) after `steps` Lanczos steps, (N,).

    It bounds the smallest eigenvalue from above, so one below 2 alpha disproves convexity. NaN: the Jacobian is not finite.
    Full reorthogonalisation (Golub and Van Loan, section 10.3). `generator` is the CPU's.
    """

    def draw() -> Tensor:
        return torch.randn(len(x), x[0].numel(), generator=generator, dtype=x.dtype).to(x.device)

    y = x.detach().requires_grad_(True)
    f = model(y)
    v = draw()
    basis, images = [v / v.norm(dim=1, keepdim=True)], []
    while True:
        (image,) = torch.autograd.grad(f, y, basis[-1].view_as(x), retain_graph=True)
        images.append(image.flatten(1))
        q = torch.stack(basis, 1)
        if len(basis) == min(steps, x[0].numel()):
            break
        w = _orthogonal(images[-1], q)
        norm = w.norm(dim=1, keepdim=True)
        # if the Krylov space is exhausted, go on with a new random direction
        w = torch.where(norm > 1e-10, w, _orthogonal(draw(), q))
        basis.append(w / w.norm(dim=1, keepdim=True))
    projected = torch.einsum("nkd,ned->nke", q, torch.stack(images, 1))
    symmetric = (projected + projected.mT) / 2
    finite = symmetric.isfinite().flatten(1).all(1)
    values = x.new_full((len(x),), torch.nan)
    values[finite] = torch.linalg.eigvalsh(symmetric[finite])[:, 0]
    return values


def jacobian_asymmetry(model: LPN, x: Tensor, generator: torch.Generator) -> Tensor:
    """Return ||J v - J^T v|| / ||J v|| at each point x (N, ...) for a random v, (N,). `generator` is the CPU's."""
    v = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
    u = torch.zeros_like(v).requires_grad_(True)
    y = x.detach().requires_grad_(True)
    (transposed,) = torch.autograd.grad(model(y), y, u, create_graph=True)  # J^T u, linear in u
    (forward,) = torch.autograd.grad(transposed, u, v)  # J v
    (backward,) = torch.autograd.grad(model(y), y, v)  # J^T v
    return (forward - backward).flatten(1).norm(dim=1) / forward.flatten(1).norm(dim=1).clamp_min(1e-300)


@torch.no_grad()
def monotonicity(model: LPN, a: Tensor, b: Tensor) -> Tensor:
    """Return `<f(a) - f(b), a - b> / ||a - b||^2` of each pair, (N,)."""
    difference = (a - b).flatten(1)
    return ((model(a) - model(b)).flatten(1) * difference).sum(1) / difference.square().sum(1)


def _pairs(x: Tensor, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return pairs of different points, far and near: x with each other, and with noise."""
    noise = torch.randn(x.shape, generator=torch_generator(seed, "pairs"), dtype=x.dtype).to(x.device)
    pairs = [(x, x.flip(0)), (x, x + 1e-3 * noise), (x, x + noise)]
    return [(a[far], b[far]) for a, b in pairs if (far := (a - b).flatten(1).norm(dim=1) > 0).any()]


def _least(values: Iterable[Tensor]) -> float:
    """Return the least of scalars; NaN if one is. Python's min would drop it."""
    return torch.stack([value.reshape(()) for value in values]).min().item()


def _unmet(measured: tuple[float, ...], requirements: list[tuple[bool, str]]) -> tuple[str, ...]:
    if any(map(math.isnan, measured)):
        return ("a measured value is not a number",)
    return tuple(sentence for met, sentence in requirements if not met)


def certify(model: LPN, x: Tensor, *, lanczos_steps: int, inversion_tolerance: float, seed: int) -> Certificate:
    """Measure the certificate of `model` at the data points x (N, *input_shape), in float64; the model stays as it is.

    Derivatives are computed at one point after the other: they keep all that the network computes.
    """
    model, x = copy.deepcopy(model).double(), x.double()
    modulus = 2 * model.alpha
    if not all(weight.isfinite().all() for weight in model.parameters()):
        return Certificate(None, None, None, modulus, None, None, failures=("a weight is not finite",))
    lowest_weight = _least(weight.min() for weight in model.constrained_weights())
    directions, starts = torch_generator(seed, "symmetry"), torch_generator(seed, "lanczos")
    asymmetry = -_least(-jacobian_asymmetry(model, point, directions) for point in x.split(1))
    eigenvalue = _least(smallest_ritz_value(model, point, lanczos_steps, starts) for point in x.split(1))
    monotone = _least(monotonicity(model, a, b).min() for a, b in _pairs(x, seed))
    residual = invert(model, x, tolerance=inversion_tolerance / 10, max_iterations=50).residual.max().item()

    limit = modulus - EIGENVALUE_TOLERANCE
    requirements = [
        (lowest_weight >= 0, f"the smallest constrained weight is {lowest_weight:.3g}, below 0"),
        (asymmetry <= SYMMETRY_TOLERANCE, f"the Jacobian is not symmetric (relative error {asymmetry:.3g})"),
        (eigenvalue >= limit, f"the Jacobian has an eigenvalue {eigenvalue:.6g} below 2 alpha = {modulus:g}"),
        (monotone >= limit, f"f is not monotone ({monotone:.6g} below 2 alpha = {modulus:g})"),
        (residual <= inversion_tolerance, f"the inversion residual {residual:.3g} exceeds {inversion_tolerance:g}"),
    ]
    failures = _unmet((lowest_weight, asymmetry, eigenvalue, monotone, residual), requirements)
    return Certificate(lowest_weight, asymmetry, eigenvalue, modulus, monotone, residual, failures)


@torch.no_grad()
def certify_convex(model: Regulariser, x: Tensor, *, seed: int) -> ConvexCertificate:
    """Measure the certificate of a convex regulariser at images x (N, C, H, W), in float64; the model stays as it is.

    Non-negative weights prove convexity for exact arithmetic. The other entries measure it.
    """
    model, x = copy.deepcopy(model).double(), x.double()
    if not all(weight.isfinite().all() for weight in model.parameters()):
        return ConvexCertificate(None, None, None, failures=("a weight is not finite",))
    lowest_weight = _least(weight.min() for weight in model.constrained_weights())
    draws = torch_generator(seed, "segments")
    excess, slopes = [], []
    for many_a, many_b in _pairs(x, seed):
        for a, b in zip(many_a.split(1), many_b.split(1), strict=True):
            t = torch.rand((), generator=draws, dtype=x.dtype).item()
            (value_a, grad_a), (value_b, grad_b) = model.value_and_gradient(a), model.value_and_gradient(b)
            above = torch.lerp(value_a, value_b, t) - model(torch.lerp(a, b, t))
            excess.append(above / torch.maximum(value_a.abs(), value_b.abs()).clamp_min(1e-300))
            slopes.append(((grad_a - grad_b) * (a - b)).sum() / (a - b).square().sum())
    convexity, monotone = _least(excess), _least(slopes)
    requirements = [
        (lowest_weight >= 0, f"the smallest constrained weight is {lowest_weight:.3g}, below 0"),
        (convexity >= -CONVEXITY_TOLERANCE, f"R is not convex along a segment (by {-convexity:.3g} of its value)"),
        (monotone >= -CONVEXITY_TOLERANCE, f"the gradient of R is not monotone ({monotone:.6g}, below 0)"),
    ]
    return ConvexCertificate(lowest_weight, convexity, monotone, _unmet((lowest_weight, convexity, monotone), requirements))
