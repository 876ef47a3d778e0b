"""Conjugate gradients for batches of symmetric positive definite systems."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class CGResult:
    """The solutions x of A x = b, per sample."""

    x: Tensor  # (N, ...)
    iterations: Tensor  # int64 (N,), how many each sample needed
    relative_residual: Tensor  # (N,) ||b - A x|| / ||b||, of the residual that the iterations update


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product per sample, (N, 1, ..., 1)."""
    return (a * b).flatten(1).sum(1).view(-1, *[1] * (a.dim() - 1))


@torch.no_grad()
def conjugate_gradients(
    matvec: Callable[[Tensor], Tensor],
    b: Tensor,
    start: Tensor,
    preconditioner: Callable[[Tensor], Tensor] | None = None,
    tolerance: float = 1e-5,
    max_iterations: int = 30,
) -> CGResult:
    """Solve A x = b by preconditioned conjugate gradients (Hestenes and Stiefel 1952), with a step length per sample.

    Args:
        matvec: x -> A x for any batch (n, ...) with n <= N; A symmetric positive definite and the same for all samples.
        b: the right sides, (N, ...).
        start: the first iterates, shaped as b.
        preconditioner: r -> M r with M close to A^{-1}, symmetric positive definite; the identity by default.
        tolerance: a sample ends, and costs no more, once ||b - A x|| <= tolerance ||b||, without M.
        max_iterations: a sample ends after at most so many.
    """
    precondition = preconditioner or (lambda r: r)
    scale = dot(b, b).sqrt()
    x = torch.where(scale == 0, 0, start)  # the solution for b = 0, which no relative tolerance reaches
    residual = b - matvec(x)
    error = dot(residual, residual).sqrt()
    iterations = torch.zeros(len(b), dtype=torch.long, device=b.device)

    index = torch.arange(len(b), device=b.device)  # of the samples that still run; r, p and rz are of these only
    r, p, rz = residual, torch.zeros_like(b), torch.ones_like(scale)
    for _ in range(max_iterations):
        excess = (error[index] - tolerance * scale[index]).flatten()
        running = ~(excess <= 0)  # what is not finite goes on, and shows in the result
        if not running.all():
            index, r, p, rz = index[running], r[running], p[running], rz[running]
        if len(index) == 0:
            break
        z = precondition(r)
        old_rz, rz = rz, dot(r, z)
        p = z + rz / old_rz * p
        ap = matvec(p)
        step = rz / dot(p, ap)
        x[index] += step * p
        r = r - step * ap
        error[index] = dot(r, r).sqrt()
        iterations[index] += 1
    return CGResult(x, iterations, torch.where(scale == 0, 0, error / scale).flatten())
