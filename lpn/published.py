"""Published results and values, which tables show next to ours."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, PositiveInt, model_validator

from lpn.operators import OperatorSettings
from lpn.settings import Choice, NamedFile, Settings


class Problem(Settings):
    """An inverse problem y = A x + noise."""

    operator: Annotated[OperatorSettings, Choice("operator")] = Field(description="the operator A")
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


def _means(value: Any) -> Any:
    """Return [PSNR, SSIM] as the means of both."""
    if isinstance(value, list) and len(value) != 2:
        raise ValueError(f"{value} must be [PSNR, SSIM]")
    return {"psnr_mean": value[0], "ssim_mean": value[1]} if isinstance(value, list) else value


# mean and standard deviation of PSNR (dB) and SSIM over images; None, or left out, if not published
Column = Literal["psnr_mean", "psnr_std", "ssim_mean", "ssim_std"]
Quality = Annotated[dict[Column, float | None], BeforeValidator(_means)]


class Result(Settings):
    """What one source published of image quality on one data set."""

    source: str
    data: str = Field(description="name of the data set")
    images: PositiveInt = Field(description="how many test images the quality is the mean over")
    psnr_ssim: dict[str, dict[str, Quality]] = Field(description="by problem and method")


class _Value(Settings):
    """A single published number."""

    describes: str
    model: str
    published: int | float | str
    precision: Literal["about", "exact"]
    source: str


class CurveValue(_Value):
    """A value of a scalar model's curve: R(x), or the larger distance of f to the true prox at x and -x."""

    quantity: Literal["regulariser", "prox_deviation"]
    x: float


class PriorValue(_Value):
    """The learned regulariser at a test image under one level of a perturbation, over its minimum."""

    quantity: Literal["image_regulariser"]
    perturbation: str
    image: int
    level: float


class Published(Settings):
    """Published values and results, each with its source."""

    values: list[Annotated[CurveValue | PriorValue, Field(discriminator="quantity")]] = Field(default=[])
    problems: dict[str, Problem] = Field(default={}, description="the problems of `results`, by name")
    results: list[Result] = Field(default=[])

    @model_validator(mode="after")
    def _problems_are_known(self) -> "Published":
        unknown = {name for result in self.results for name in result.psnr_ssim} - self.problems.keys()
        if unknown:
            raise ValueError(f"'problems' lacks {', '.join(sorted(unknown))}, which 'results' name")
        return self

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
