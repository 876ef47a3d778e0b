"""The search for a method's parameters on a grid, by the mean PSNR over images whose truth is known."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from pydantic import Field

from lpn.experiment import DivergenceError, Method, Number, Point, Scores, iterates, make_prior
from lpn.measurements import Measurement
from lpn.networks import Network
from lpn.operators import LinearOperator
from lpn.settings import Settings
from lpn.solvers import Problem


class Score(Settings):
    """The score of a point of a grid."""

    parameters: Point = Field(description="the point")
    psnr: float | None = Field(description="mean PSNR in dB; null if the method diverged")


class Chosen(Settings):
    """The best point of a grid."""

    parameters: Point = Field(description="the best point")
    grid: list[dict[str, Number | None]] = Field(description="all points, each with its 'psnr'")
    at_edge: list[str] = Field(description="the parameters whose best value is the least or the largest of the grid")


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


def choose(scores: Iterable[Score]) -> Chosen:
    """Return the point of the highest PSNR, the first of equals.

    Raises ValueError if points have other parameters than the first, there is none, or the method diverged at all.
    """
    scores = list(scores)
    if not scores:
        raise ValueError("there are no scores to choose from")
    for score in scores:
        if score.parameters.keys() != scores[0].parameters.keys():
            names = [", ".join(point.parameters) or "none" for point in (scores[0], score)]
            raise ValueError(f"the scores are not of one grid: some have the parameters {names[0]}, some {names[1]}")
    if all(score.psnr is None for score in scores):
        raise ValueError("the method diverged at every point of the grid: try a larger rho, or a smaller scale")
    best = max(scores, key=lambda score: -math.inf if score.psnr is None else score.psnr).parameters
    values = {path: {score.parameters[path] for score in scores} for path in best}
    at_edge = [path for path, found in values.items() if len(found) > 1 and best[path] in (min(found), max(found))]
    grid = [score.parameters | {"psnr": score.psnr} for score in scores]
    return Chosen(parameters=best, grid=grid, at_edge=at_edge)
