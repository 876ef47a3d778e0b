"""A grid of a method's parameters, and the choice of its best point. Imports no torch."""

import math
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from lpn.settings import Settings


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"must be a finite number, not {value!r}")
    return value


Number = Annotated[int | float, BeforeValidator(_number)]
Point = dict[str, Number]  # settings of a method by their paths, e.g. {"solver.rho": 0.1, "prox.weight": 0.02}


class Score(Settings):
    """The score of a point of a grid."""

    parameters: Point = Field(description="the point")
    psnr: float | None = Field(description="mean PSNR in dB; null if the method diverged")


class Chosen(Settings):
    """The best point of a grid."""

    parameters: Point = Field(description="the best point")
    grid: list[dict[str, Number | None]] = Field(description="all points, each with its 'psnr'")
    at_edge: list[str] = Field(description="the parameters whose best value is the least or the largest of the grid")


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
