"""Reconstruction of images by a method, and its record. No files."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator
from torch import Tensor

from lpn.denoisers import Denoiser, Prox, as_prox
from lpn.denoisers.learned import Learned
from lpn.grid import Number, Point
from lpn.measurements import Measurement
from lpn.metrics import psnr, ssim
from lpn.networks import Network, NetworkSettings, Regulariser, network_settings
from lpn.operators import LinearOperator
from lpn.regularisers import LearnedRegulariser
from lpn.settings import Choice, Settings, sentences
from lpn.solvers import Iterate, Problem, Solver, solve, until

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("solver", "prior", "scale", "iterations")  # a method has all of them, or none; the prior by one of two keys


class DivergenceError(ValueError):
    """An iterate is not finite: the method's parameters do not fit."""


class Method(Settings):
    """How images are reconstructed: by a solver with a denoiser, or with a learned regulariser, as the solver needs.

    Without them it is the observed image that is shown.
    """

    title: str = Field(default="", description="name in tables and figures")
    solver: Annotated[Solver, Choice("solver")] | None = Field(default=None, description="the algorithm")
    prox: Annotated[Denoiser, Choice("prox")] | None = Field(default=None, description="the denoiser")
    regulariser: LearnedRegulariser | None = Field(default=None, description="the regulariser, in the place of a denoiser")
    scale: PositiveFloat | None = Field(default=None, description="s in the data term s ||A x - y||^2")
    iterations: PositiveInt | None = Field(default=None, description="number of iterations, the most with 'stop'")
    stop: PositiveFloat | None = Field(
        default=None, description="ends once both residuals of every image are at most this times their largest"
    )
    tune: dict[str, Annotated[list[Number], Field(min_length=1)]] | None = Field(
        default=None,
        description="values to search, by the path of the setting, e.g. {prox.weight: [0.1, 0.2]}",
        min_length=1,
    )

    @model_validator(mode="after")
    def _complete(self) -> "Method":
        if self.prox and self.regulariser:
            raise ValueError("has both prox and regulariser: set that to null which the solver does not take")
        missing = [name for name in PARTS if getattr(self, name) is None]
        key = self.solver.takes if self.solver else "prox"
        names = [key if name == "prior" else name for name in PARTS]
        if 0 < len(missing) < len(PARTS):
            lacks = [key if name == "prior" else name for name in missing]
            raise ValueError(f"lacks {', '.join(lacks)}: a method needs {', '.join(names)}, or none of them to show the "
                             "observed image")  # fmt: skip
        if self.solver and getattr(self, key) is None:
            other = "regulariser" if self.prox is None else "prox"
            raise ValueError(f"has {other}, but the solver {self.solver.name} takes {key}")
        if missing and (extra := [name for name in ("stop", "tune") if getattr(self, name) is not None]):
            raise ValueError(f"{' and '.join(extra)} need a solver")
        for path, value in ((path, value) for path, values in (self.tune or {}).items() for value in values):
            try:
                self.at({path: value})
            except ValidationError as error:
                raise ValueError(f"tune: {path} can't be {value:g}: {' '.join(sentences(error))}") from error
            except ValueError as error:
                raise ValueError(f"tune: {error}") from error
        return self

    @property
    def prior(self) -> Denoiser | LearnedRegulariser | None:
        """The denoiser, or the regulariser."""
        return self.prox or self.regulariser

    @property
    def model(self) -> str | None:
        """The trained model that the prior is, if it is one."""
        return self.prior.model if isinstance(self.prior, Learned | LearnedRegulariser) else None

    def certified(self, network: NetworkSettings | None) -> str:
        """Return what the method's prior is certified to be with this network: "prox", "convex" or "none".

        It is "" without a network: observed images have no prior, and no certificate examines classical denoisers.
        """
        return self.prior.certified(network) if isinstance(self.prior, Learned | LearnedRegulariser) and network else ""

    def at(self, point: Mapping[str, float]) -> "Method":
        """Return the method with the settings of a point, and no search.

        Raises ValueError for a path that leads to no setting, and pydantic's ValidationError for a value out of range.
        """
        method: Settings = self.model_copy(update={"tune": None})
        for path, value in point.items():
            method = _replaced(method, path.split("."), value, path)
        assert isinstance(method, Method)
        return method

    def rows(self) -> list[list[Point]]:
        """Return the points of the grid of `tune` by rows: those of a value of its first key. None without a search."""
        if self.tune is None:
            return []
        first, *others = [[(path, value) for value in values] for path, values in self.tune.items()]
        return [[dict(point) for point in itertools.product([choice], *others)] for choice in first]

    def algorithm(self) -> tuple[Solver, Denoiser | LearnedRegulariser, float, int]:
        """Return the solver, the prior, the scale and the iterations. Raises ValueError if the method has none."""
        if self.solver is None or self.prior is None or self.scale is None or self.iterations is None:
            raise ValueError("the method shows the observed image: it has no solver")
        return self.solver, self.prior, self.scale, self.iterations

    def check_network(self, network: NetworkSettings, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless the network of the prior fits images of shape (C, H, W), the settings and the solver."""
        solver, prior, _, iterations = self.algorithm()
        if isinstance(prior, Learned | LearnedRegulariser):
            prior.check_network(network, shape)
            solver.check_network(network, iterations)


def _replaced(settings: Settings, path: list[str], value: float, whole: str) -> Settings:
    """Return settings, validated, with another value at a path."""
    name, *rest = path
    current = getattr(settings, name, None)
    if name not in type(settings).model_fields or (rest and not isinstance(current, Settings)):
        raise ValueError(f"{whole} is no setting of the method")
    new = _replaced(current, rest, value, whole) if isinstance(current, Settings) and rest else value
    given = {key: getattr(settings, key) for key in settings.model_fields_set}
    return type(settings).model_validate({**given, name: new})


class Scores(Settings):
    """How reconstructions are compared with the truth."""

    clip: bool = Field(description="whether images are clipped to [0, 1] first")
    border: NonNegativeInt = Field(default=0, description="pixels at each side that don't count")
    channelwise: bool = Field(default=False, description="whether the PSNR is the mean of the PSNRs of the channels")

    def clipped(self, images: Tensor) -> Tensor:
        """Return images, clipped to [0, 1] if the settings say so."""
        return images.clamp(0, 1) if self.clip else images

    def psnr(self, images: Tensor, truth: np.ndarray) -> np.ndarray:
        """Return the PSNR in dB of images (N, C, H, W), (N,)."""
        return psnr(images.float().cpu().numpy(), truth, self.channelwise, self.border)

    def quality(self, images: Tensor, truth: np.ndarray) -> dict[str, np.ndarray]:
        """Return the PSNR and the SSIM of images (N, C, H, W), (N,) each."""
        return {"psnr": self.psnr(images, truth), "ssim": ssim(images.float().cpu().numpy(), truth, self.border)}


def make_prior(
    method: Method, shape: tuple[int, ...], device: torch.device | str = "cpu", network: Network | None = None
) -> Prox | Regulariser:
    """Return what a method's solver takes, for images of shape (C, H, W); `network` is that of a learned prior.

    Raises ValueError if they don't fit the images, or each other.
    """
    _, prior, _, _ = method.algorithm()
    if not isinstance(prior, Learned | LearnedRegulariser):
        if network is not None:
            raise ValueError(f"the denoiser {prior.name} is no network, but one is given")
        prior.check(shape)
        return as_prox(prior)
    if network is None:
        raise ValueError(f"its prior is the network {prior.model!r}, which must be given")
    method.check_network(network_settings(network.config), shape)
    if isinstance(prior, Learned):
        return prior.prox(network, shape, torch.device(device))
    assert isinstance(network, Regulariser)
    return network.to(device)


def iterates(method: Method, problem: Problem, prior: Prox | Regulariser, start: Tensor) -> Iterator[Iterate]:
    """Yield the iterates of a method from the start (N, C, H, W).

    Raises ValueError as its solver does, and DivergenceError once an iterate is not finite.
    """
    solver, _, _, most = method.algorithm()
    found = solve(solver, problem, prior, start)
    found = until(found, method.stop) if method.stop else found
    for number, iterate in enumerate(itertools.islice(found, most), 1):
        if not (iterate.x + iterate.z).isfinite().all():
            raise DivergenceError(
                f"the method diverged: iterate {number} is not finite. Lower the scale or the step, or raise rho."
            )
        yield iterate


def describe(solver: Solver, problem: Problem, iterate: Iterate) -> dict[str, np.ndarray]:
    """Return what is recorded of an iterate besides the image quality, float64 (N,) each.

    The regulariser and the objective are those of z, if the regulariser is known (a box has no share in it); the data term,
    which includes a solver's total variation, is that of x.
    """
    values = {"primal": iterate.primal, "dual": iterate.dual, "cg_iterations": iterate.cg_iterations}
    values["data_term"] = solver.data_term(problem, iterate.x)
    if iterate.regulariser is not None:
        values["regulariser"] = iterate.regulariser
        if weight := solver.regulariser_weight(problem):
            values["objective"] = solver.data_term(problem, iterate.z).double() + weight * iterate.regulariser
    return {name: value.double().cpu().numpy() for name, value in values.items()}


@dataclass(frozen=True)
class Step:
    """An image of a reconstruction.

    Attributes:
        number: of the iteration; 0 is the start, or the observed image of a method without a solver.
        image: float (N, C, H, W), clipped if the scores are those of clipped images.
        values: what is recorded, (N,) each: the PSNR and the SSIM if the truth is known, and `describe` from 1 on.
    """

    number: int
    image: Tensor
    values: dict[str, np.ndarray]


@torch.no_grad()
def reconstruct(
    method: Method,
    operator: LinearOperator,
    measurement: Measurement,
    scores: Scores,
    network: Network | None = None,
    device: torch.device | str = "cpu",
) -> Iterator[Step]:
    """Yield the steps of a reconstruction; `network` is that of a learned prior.

    Raises ValueError if the parts don't fit each other, and DivergenceError once an iterate is not finite.
    """

    def step(number: int, image: Tensor, values: dict[str, np.ndarray]) -> Step:
        image = scores.clipped(image)
        quality = {} if measurement.truth is None else scores.quality(image, measurement.truth)
        return Step(number, image, quality | values)

    yield step(0, torch.from_numpy(measurement.start if method.solver else measurement.observed), {})
    if method.solver is None:
        return
    solver, _, scale, _ = method.algorithm()
    prior = make_prior(method, operator.input_shape, device, network)
    y, start = (torch.from_numpy(array).to(device) for array in (measurement.y, measurement.start))
    problem = Problem(operator, y, scale)
    for number, iterate in enumerate(iterates(method, problem, prior, start), 1):
        yield step(number, iterate.x, describe(solver, problem, iterate))


def record(steps: Iterable[Step], first: int = 0) -> "tuple[Tensor, pd.DataFrame]":
    """Return the last image, and a row for each image, counted from `first`, and iteration."""
    import pandas as pd

    rows, image = [], torch.empty(0)
    for step in steps:
        image = step.image
        rows.append(pd.DataFrame({"image": first + np.arange(len(image)), "iteration": step.number} | step.values))
    return image, pd.concat(rows)


def summarise(iterations: "pd.DataFrame", tuned: Mapping[str, float] | None = None) -> "pd.DataFrame":
    """Return one row per image of a record: the number of the last iterate and the method's tuned parameters in words.

    If the truth is known, it has the quality of the last iterate and the best PSNR of all with its iteration, too.
    """
    last = iterations[iterations.iteration == iterations.iteration.max()].set_index("image")
    images = last[["iteration"]]
    if "psnr" in last:
        best = iterations.set_index("iteration").groupby("image").psnr
        images = last[["psnr", "ssim", "iteration"]].assign(best_psnr=best.max(), best_iteration=best.idxmax())
    words = ", ".join(f"{key} {value:g}" for key, value in (tuned or {}).items())
    return images.assign(tuned=words).reset_index()
