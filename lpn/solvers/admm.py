"""Plug-and-play ADMM: the alternating direction method of multipliers."""

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from lpn.denoisers import Prox, evaluate
from lpn.solvers._base import Iterate, Problem, Solver, box, no_iterations, squared, total


class ADMM(Solver):
    """Plug-and-play ADMM with scaled duals; the objective has the weight w = rho (LPN paper, section 4).

        1:  x   = argmin_x s ||A x - y||^2 + rho/2 sum_i ||x - z_i + u_i||^2
        2:  z_i = prox_i(x + u_i)
        3:  u_i = u_i + x - z_i

    It begins with z_i = x and u_i = 0. prox_1 is the denoiser, prox_2 the projection onto [0, 1] with `box`. The published
    order is "132", in which u is updated with the previous z.
    """

    rho: PositiveFloat = Field(description="penalty, the weight of the regulariser")
    order: Literal["123", "132", "213", "231", "312", "321"] = Field(
        default="132", description="order of the steps 1 (x), 2 (z) and 3 (u)"
    )
    box: bool = Field(default=False, description="whether the images are also held in [0, 1], by a split of its own")

    def iterates(self, problem: Problem, prox: Prox, x: Tensor) -> Iterator[Iterate]:
        splits = 2 if self.box else 1
        z, u = [x] * splits, [torch.zeros_like(x)] * splits
        v, regulariser, cg_iterations = z, None, no_iterations(x)
        solve = problem.proximal(self.rho * splits)
        while True:
            before = z
            for step in self.order:
                if step == "1":
                    x, cg_iterations = solve(total(a - b for a, b in zip(z, u, strict=True)) / splits, x)
                elif step == "2":
                    v = [x + b for b in u]
                    first, regulariser = evaluate(prox, v[0])
                    z = [first, *map(box, v[1:])]
                else:
                    u = [b + x - a for a, b in zip(z, u, strict=True)]
            primal = total(squared(x - a) for a in z).sqrt()
            dual = self.rho * total(squared(a - b) for a, b in zip(z, before, strict=True)).sqrt()
            yield Iterate(x, z[0], v[0], primal, dual, cg_iterations, regulariser)

    def regulariser_weight(self, problem: Problem) -> float:
        """Return rho."""
        return self.rho
