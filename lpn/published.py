"""Published results and values, which tables show next to ours."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from lpn.settings import Choice, NamedFile, Settings


class Problem(Settings):
    """An inverse problem y = A x + noise."""

    operator: Annotated[Any, Choice("operator")] = Field(description="the operator A")  # Any: its class would import torch
    noise: NonNegativeFloat = Field(description="standard deviation of the noise")

    def agrees(self, other: "Problem") -> bool:
        """Tell whether both are the same problem. Files that operators name agree if their names do, in any folder."""
        mine, others = (
            {key: Path(value).name if isinstance(value, NamedFile) else value for key, value in problem.operator}
            for problem in (self, other)
        )
        return self.noise == other.noise and mine == others


class Experiment(Problem):
    """What the table of reconstructions says of an experiment besides its results."""

    title: str = Field(description="title of the experiment, which may hold mathematics between $ signs")
    data: str = Field(description="name of the data set")
    same_images: bool = Field(
        default=False, description="whether its test images are those of published results: of the complete official data"
    )
    methods: dict[str, str] = Field(description="titles of the methods, by their names in the column method")
    certified: dict[str, str] = Field(default={}, description="what a method is certified to be: prox, convex or none")


def _named(value: Any) -> Any:
    """Return PSNR, [PSNR, SSIM], or these with their standard deviations, by the names of columns."""
    values = value if isinstance(value, list) else [value]
    if isinstance(value, list) and len(values) not in (2, 4):
        raise ValueError(f"{value} must be [PSNR, SSIM], or [PSNR, SSIM, std of PSNR, std of SSIM]")
    return value if isinstance(value, dict) else dict(zip(get_args(Column), values, strict=False))


def _interval(value: Any) -> Any:
    """Return a number as the interval that holds nothing else."""
    return [value, value] if isinstance(value, int | float) else value


# mean and standard deviation of PSNR (dB) and SSIM over images; left out if not published
Column = Literal["psnr_mean", "ssim_mean", "psnr_std", "ssim_std"]
Quality = Annotated[dict[Column, float], BeforeValidator(_named)]


class Result(Settings):
    """What one source published of image quality on one data set."""

    source: str
    data: str = Field(description="name of the data set")
    images: PositiveInt = Field(description="how many test images the quality is the mean over")
    psnr_ssim: dict[str, dict[str, Quality]] = Field(description="by problem and method")


@dataclass(frozen=True)
class Value:
    """A single published number, and where ours is found.

    Attributes:
        describes: the quantity in words.
        low, high: the number, twice, or the interval that was read off a figure.
        about: whether it was read off a figure.
        source: where it was published.
        place: the point of a curve or the place of a prior.
        spread: the largest distance of two published trainings; None if only one is published.
    """

    describes: str
    low: float
    high: float
    about: bool
    source: str
    place: "CurvePoint | PriorPlace"
    spread: float | None = None

    @property
    def words(self) -> str:
        """The number as tables show it."""
        text = f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"
        return "about " * self.about + text

    def difference(self, ours: float) -> float:
        """Return ours minus the published number, or minus the nearest one of an interval."""
        return ours - min(max(ours, self.low), self.high)


@dataclass(frozen=True)
class PriorPlace:
    """One level of a perturbation, and a test image, or None for the median over the first `images` ones."""

    model: str
    perturbation: str
    level: float
    image: int | None
    images: int


class CurvePoint(Settings):
    """A value of a scalar model's curve: R(x), or the larger distance of f to the true prox at x and -x."""

    quantity: Literal["regulariser", "prox_deviation"]
    x: float
    model: str
    published: Annotated[list[float], BeforeValidator(_interval), Field(min_length=2, max_length=2)]
    describes: str


class PublishedCurves(Settings):
    """Values of scalar models, read off a figure."""

    source: str
    points: list[CurvePoint]

    def values(self) -> Iterator[Value]:
        """Yield the values."""
        titles = {"regulariser": "R({x:g})", "prox_deviation": "|f - soft threshold| at |x| = {x:g}"}
        for point in self.points:
            words = f"{titles[point.quantity].format(x=point.x)}, {point.describes}"
            low, high = point.published
            yield Value(words, low, high, True, self.source, point)


class Digit(Settings):
    """R of a test image at each level, minus the minimum over its table, from one training."""

    image: NonNegativeInt
    digit: int | str
    published: list[float]
    source: str


class Violins(Settings):
    """Distributions of R over test images: lower whisker and quartile, median, upper quartile and whisker, by level."""

    source: str
    summaries: dict[Annotated[float, BeforeValidator(float)], Annotated[list[float], Field(min_length=5, max_length=5)]]


class Perturbation(Settings):
    """Published values of one perturbation."""

    levels: list[float]
    digits: list[Digit]
    violins: Violins

    @model_validator(mode="after")
    def _has_all_levels(self) -> "Perturbation":
        if any(len(digit.published) != len(self.levels) for digit in self.digits):
            raise ValueError(f"each digit must have {len(self.levels)} values, one for each level")
        return self

    @property
    def spread(self) -> float | None:
        """The authors' own spread from training to training: the largest distance of two trainings at a digit and level."""
        trainings: dict[int, list[list[float]]] = {}
        for digit in self.digits:
            trainings.setdefault(digit.image, []).append(digit.published)
        ranges = [max(same) - min(same) for rows in trainings.values() if len(rows) > 1 for same in zip(*rows, strict=True)]
        return max(ranges, default=None)


class PublishedPriors(Settings):
    """Values of the learned regulariser at test images."""

    data: str
    model: str
    images: PositiveInt = Field(description="how many test images the violins are those of")
    perturbations: dict[str, Perturbation]

    def values(self) -> Iterator[Value]:
        """Yield the values of digits, then the medians of violins, of each perturbation."""
        for name, found in self.perturbations.items():
            for digit in found.digits:
                for level, number in zip(found.levels, digit.published, strict=True):
                    words = f'R of the "{digit.digit}" (test image {digit.image}), {name} {level:g}'
                    place = PriorPlace(self.model, name, level, digit.image, self.images)
                    yield Value(words, number, number, False, digit.source, place, found.spread)
            for level, summary in found.violins.summaries.items():
                place = PriorPlace(self.model, name, level, None, self.images)
                words = f"median of R over {self.images} digits, {name} {level:g}"
                yield Value(words, summary[2], summary[2], False, found.violins.source, place)


class Published(Settings):
    """Published values and results, each with its source."""

    curves: PublishedCurves | None = Field(default=None)
    priors: PublishedPriors | None = Field(default=None)
    problems: dict[str, Problem] = Field(default={}, description="the problems of `results`, by name")
    results: list[Result] = Field(default=[])

    @model_validator(mode="after")
    def _problems_are_known(self) -> "Published":
        unknown = {name for result in self.results for name in result.psnr_ssim} - self.problems.keys()
        if unknown:
            raise ValueError(f"'problems' lacks {', '.join(sorted(unknown))}, which 'results' name")
        return self

    @property
    def values(self) -> list[Value]:
        """The values of figures."""
        return [value for part in (self.curves, self.priors) if part for value in part.values()]

    def rows(self, experiment: Experiment) -> list[dict[str, Any]]:
        """Return a row for each published result on the same data set with the same operator and noise.

        The scale says if the images are others, as those of an incomplete copy are.
        """
        scale = "published" if experiment.same_images else "published, other images"
        return [
            {"method": method, "source": result.source, **quality, "images": result.images, "scale": scale}
            for name, problem in self.problems.items()
            if problem.agrees(experiment)
            for result in self.results
            if result.data == experiment.data
            for method, quality in result.psnr_ssim.get(name, {}).items()
        ]
