"""The search for a method's parameters on a grid, by the mean PSNR over images whose truth is known."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from lpn.experiment import DivergenceError, Method, Scores, iterates, make_prior
from lpn.grid import Point, Score
from lpn.measurements import Measurement
from lpn.networks import Network
from lpn.operators import LinearOperator
from lpn.solvers import Problem


@torch.no_grad()
def tune(
    method: Method,
    points: Sequence[Point],
    operator: LinearOperator,
    measurement: Measurement,
    scores: Scores,
    network: Network | None = None,
    device: torch.device | str = "cpu",
) -> list[Score]:
    """Return the mean PSNR of a method's last iterates at points; `network` is that of a learned prior.

    A method that diverges, to iterates or a PSNR that are not finite, has no PSNR. Raises ValueError if the truth is not
    known or the parts don't fit each other.
    """
    truth = measurement.truth
    if truth is None:
        raise ValueError("the measurements lack the truth, without which there is no PSNR to search by")
    y, start = (torch.from_numpy(array).to(device) for array in (measurement.y, measurement.start))

    def score(candidate: Method) -> float | None:
        _, _, scale, _ = candidate.algorithm()
        prior = make_prior(candidate, operator.input_shape, device, network)
        last = start
        try:
            for iterate in iterates(candidate, Problem(operator, y, scale), prior, start):
                last = scores.clipped(iterate.x)
        except DivergenceError:
            return None
        with np.errstate(all="ignore"):  # iterates that are finite may have squares that are not
            psnr = float(scores.psnr(last, truth).mean())
        return psnr if math.isfinite(psnr) else None

    return [Score(parameters=point, psnr=score(method.at(point))) for point in points]
