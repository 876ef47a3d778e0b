"""What a configuration holds: the types of all its sections. `docs/settings.md` and the JSON schema are made from them."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PlainValidator,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    StringConstraints,
    TypeAdapter,
    WrapValidator,
    model_validator,
)

from lpn.certificate import CertificateSettings
from lpn.data import DataSet
from lpn.experiment import Method, Scores
from lpn.fetch import Sha256
from lpn.networks import NetworkSettings
from lpn.operators import OperatorSettings
from lpn.perturb import PERTURBATIONS
from lpn.prior import METHODS
from lpn.settings import Choice, File, Folder, Settings, names
from lpn.training.settings import Logging, TrainingSettings

BUILT_IN: TypeAdapter[DataSet] = TypeAdapter(Annotated[DataSet, Choice("dataset")])
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Table = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class Model(TrainingSettings):
    """A network that this run trains."""

    data: str = Field(description="name of the training data: one of `data`, or a built-in data set")
    init: str | None = Field(default=None, description="model whose weights training starts from")
    logging: Logging = Field(default=Logging(), description="what is logged; it never retrains")


def _source(source: Any, file: Callable[[Any], str]) -> str:
    """Return a source as it is if it is remote, else as the path of a file."""
    return source if isinstance(source, str) and ("://" in source or source.startswith("drive:")) else file(source)


class Imported(Settings):
    """A network that was trained elsewhere."""

    network: Annotated[NetworkSettings, Choice("network")] = Field(description="architecture and its sizes")
    data: str = Field(description="name of the data it was trained on")
    sigma: PositiveFloat | None = Field(default=None, description="standard deviation of the noise it was trained on")
    source: Annotated[File, WrapValidator(_source)] = Field(
        description="a file, a URL, or drive:FOLDER_ID/PATH of a public Google Drive folder"
    )
    sha256: Sha256 | None = Field(default=None, description="SHA-256 of the file; default: of the first download from a URL")


def _model(model: Any) -> Model | Imported:
    """Return a model that is imported if it has a source, else trained; a source replaces inherited settings of training."""
    if not isinstance(model, dict):
        return Model.model_validate(model)
    imported = model.get("source") is not None
    own, others = (Imported, Model) if imported else (Model, Imported)
    foreign = others.model_fields.keys() - own.model_fields.keys()
    kept = {key: value for key, value in model.items() if key not in foreign}
    return own.model_validate(kept)


AnyModel = Annotated[Model | Imported, PlainValidator(_model, json_schema_input_type=Model | Imported)]


class Grid(Settings):
    """Points of the real line."""

    low: float = Field(description="first point")
    high: float = Field(description="last point")
    points: int = Field(ge=2, description="number of points")

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low:g}, not below high, {self.high:g}")
        return self


class Curves(Settings):
    """The prox, potential and prior of scalar networks, on a grid."""

    grid: Grid = Field(description="where the networks are evaluated")
    shown: PositiveFloat = Field(description="figures and errors cover |x| up to this")
    figures: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field(
        description="the models of each figure, one column a model"
    )
    others: list[str] = Field(default=[], description="further models that the table compares with them")
    seeds: list[NonNegativeInt] = Field(
        default=[], description="further seeds of the models of figures; the table has means and spreads"
    )
    titles: dict[str, str] = Field(default={}, description="title of a model in figures")

    @property
    def models(self) -> list[str]:
        """The models of figures and table, each once."""
        return list(dict.fromkeys([*(name for names in self.figures.values() for name in names), *self.others]))


class Inversion(Settings):
    """How f(y) = x is solved."""

    method: Literal[METHODS] = Field(default="quasi_newton", description="solver")  # type: ignore[valid-type]
    tolerance: PositiveFloat = Field(default=1e-6, description="relative residual at which a sample has converged")
    max_iterations: PositiveInt = Field(default=200, description="most iterations of the solver")


def _different(levels: list[Any]) -> list[Any]:
    if len(set(levels)) < len(levels):
        raise ValueError("the values must be different")
    return levels


class Perturbation(Settings):
    """A corruption of images."""

    levels: Annotated[list[NonNegativeFloat], Field(min_length=1), AfterValidator(_different)] = Field(
        description="levels of the corruption"
    )
    rows: list[NonNegativeInt] = Field(min_length=1, description="images that the grid figure shows")
    symbol: str = Field(description="symbol of the level in figures")


class Repeated(Settings):
    """Repeated proximal steps z_{k+1} = f(z_k) from a noisy image."""

    noise: PositiveFloat = Field(description="standard deviation of the noise of z_0")
    steps: Annotated[list[NonNegativeInt], Field(min_length=1), AfterValidator(_different)] = Field(
        description="the steps k that the figure shows; 0 is the noisy image"
    )
    rows: list[NonNegativeInt] = Field(min_length=1, description="images that the figure shows")


class Priors(Settings):
    """The learned prior at test images that are corrupted more and more, or that proximal steps clean more and more."""

    model: str = Field(description="the model whose prior is drawn")
    others: list[str] = Field(default=[], description="further models that the table compares with it")
    seeds: list[NonNegativeInt] = Field(
        default=[], description="further seeds of the model; the table has means and spreads"
    )
    images: PositiveInt = Field(description="number of test images")
    seed: NonNegativeInt = Field(description="seed of the Gaussian perturbation and of the noise of repeated steps")
    inversion: Inversion = Field(default=Inversion(), description="how f(y) = x is solved")
    perturbations: dict[Literal[tuple(PERTURBATIONS)], Perturbation] = Field(  # type: ignore[valid-type]
        default={}, description="the corruptions, by kind"
    )
    repeated: Repeated | None = Field(default=None, description="repeated proximal steps of the model (null: none)")

    @model_validator(mode="after")
    def _shows_something(self) -> Self:
        if not self.perturbations and self.repeated is None:
            raise ValueError("perturbations or repeated must be given")
        if self.others and not self.perturbations:
            raise ValueError("others are compared at perturbations, and there are none")
        return self

    @property
    def models(self) -> list[str]:
        """The models of figures and table."""
        return [self.model, *self.others]


class Tuning(Settings):
    """The validation images on which parameters are searched for."""

    data: str | None = Field(default=None, description="name of the data (default: those of the experiment)")
    crop: int | None = Field(default=None, ge=8, description="side of the centre that is cut out, in pixels (default: all)")
    images: PositiveInt = Field(default=4, description="number of images")
    values_per_job: PositiveInt = Field(default=1, description="values of the first searched setting that one job tries")


class Experiment(Scores):
    """An inverse problem y = A x + noise on test images, and the methods that solve it."""

    title: str = Field(description="title in figures and tables")
    table: Table = Field(description="name of the table; experiments that share it share a table")
    data: str = Field(description="name of the test data: one of `data`, or a built-in data set")
    images: PositiveInt = Field(description="number of test images")
    images_per_job: PositiveInt = Field(default=20, description="images of one job, all of one size")
    operator: Annotated[OperatorSettings, Choice("operator")] = Field(description="A")
    noise: NonNegativeFloat = Field(description="standard deviation of the noise")
    seed: NonNegativeInt = Field(description="seed of the noise and of random operators")
    shown: list[NonNegativeInt] = Field(min_length=1, description="images that figures show")
    tuning: Tuning = Field(default=Tuning(), description="where `tune` searches for parameters")
    methods: dict[Name, Method] = Field(min_length=1, description="names of `methods`, each perhaps with changed settings")


class Config(Settings):
    """A run."""

    run: Name = Field(description="name of the run: results in `results/<run>/`, logs in `logs/<run>/`")
    label: str = Field(description="the scale in words, in every figure and table")
    make: list[str] = Field(
        description="what the run makes: names of curves, priors and experiments, or patterns such as deblur_*"
    )
    folder: Folder = Field(
        default="data", description="your own copies of raw data; LPN_DATA overrides it; only prepared/ is written to"
    )
    mirrors: list[Annotated[Folder, WrapValidator(_source)]] = Field(
        default=[], description="URLs or folders that hold the official files, tried before the official sources"
    )
    certificate: CertificateSettings = Field(default=CertificateSettings(), description="how networks are certified")
    data: dict[Name, Annotated[DataSet, Choice("dataset")]] = Field(default={}, description="data sets, by name")
    models: dict[Name, SerializeAsAny[AnyModel]] = Field(default={}, description="networks, by name")
    methods: dict[Name, Method] = Field(default={}, description="methods that experiments share, by name")
    curves: dict[Name, Curves] = Field(default={}, description="evaluations of scalar networks, by name")
    priors: dict[Name, Priors] = Field(default={}, description="evaluations of learned priors at images, by name")
    experiments: dict[Name, Experiment] = Field(default={}, description="inverse problems, by name")

    def dataset(self, name: str) -> DataSet:
        """Return the data set of a name: a defined one, or a built-in one with its defaults.

        Raises ValueError for a built-in one that needs settings, and for other names.
        """
        return self.data[name] if name in self.data else BUILT_IN.validate_python(name)

    @property
    def datasets(self) -> list[str]:
        """The names of all data sets."""
        return list(dict.fromkeys([*self.data, *names("dataset")]))
