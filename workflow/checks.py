"""What types can't say of a configuration: names that must exist, and things that must fit each other by their shapes."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from configuration import ConfigurationError, known
from pydantic import ValidationError
from schema import Config, Experiment, Model

from lpn.data import DataSet
from lpn.denoisers import Denoiser
from lpn.experiment import Method
from lpn.figures import check_formulas
from lpn.metrics import check_border
from lpn.networks import NetworkSettings
from lpn.packages import missing
from lpn.settings import NamedFolder, Settings, files, sentences

RESERVED = ("certificates", "published")  # tables of every run
LARGE = 4096  # the side of images of unknown sizes: it fits all, so that what does not depend on sizes is checked
Sizes = list[tuple[int, int, int | None]]  # see `DataSet.sizes`
Shape = tuple[int, ...]  # (C, H, W)


def used(config: Config) -> dict[str, list[str]]:
    """Return the names of the definitions that the run needs, by section, in the order of the configuration."""
    run = {
        name: [key for key in getattr(config, name) if key in config.make] for name in ("curves", "priors", "experiments")
    }
    experiments = [config.experiments[name] for name in run["experiments"]]
    models = {
        name for section in ("curves", "priors") for key in run[section] for name in getattr(config, section)[key].models
    }
    models |= {method.model for e in experiments for method in e.methods.values() if method.model}
    models |= {ancestor for name in models for ancestor in _ancestors(config, name)}
    run["models"] = [name for name in config.models if name in models]
    data = {config.models[name].data for name in run["models"]} | {e.data for e in experiments}
    data |= {e.tuning.data or e.data for e in experiments if any(method.tune for method in e.methods.values())}
    return run | {"data": sorted(data), "methods": []}


def _ancestors(config: Config, name: str) -> list[str]:
    """Return the models that a model's training starts from, the nearest first, as far as they exist; a cycle ends them."""
    chain = [name]
    while isinstance(model := config.models.get(chain[-1]), Model) and model.init and model.init not in chain:
        chain.append(model.init)
    return chain[1:]


def config_faults(config: Config, run: dict[str, list[str]], own: set[str], data_folder: Path) -> Iterator[str]:
    """Yield one sentence for each fault of what the run uses, or what its own files define ("models.mine")."""

    def checked(section: str) -> list[str]:
        return [name for name in getattr(config, section) if name in run[section] or f"{section}.{name}" in own]

    yield from _attempt("label", check_formulas, config.label)
    for name in checked("models"):
        yield from _attempt(f"models.{name}", _model_faults, config, name, data_folder)
    for section in ("curves", "priors"):
        for name in checked(section):
            yield from _attempt(f"{section}.{name}", _evaluation_faults, config, section, name)
    tables = {*RESERVED, *run["curves"], *run["priors"]}
    for name in checked("experiments"):
        if (table := config.experiments[name].table) in tables:
            yield f"key 'experiments.{name}.table': the run has another table '{table}'. Choose another name."
        yield from _attempt(f"experiments.{name}", _experiment_faults, config, name, data_folder)
    titles: dict[tuple[str, str], str] = {}
    for name in run["experiments"]:
        experiment = config.experiments[name]
        if (other := titles.setdefault((experiment.table, experiment.title), name)) != name:
            yield f"key 'experiments.{name}.title' is that of '{other}', in the same table. Give it a title of its own."


def missing_packages(config: Config) -> Iterator[str]:
    """Yield a sentence for each package that the run needs and that is not installed, and how to make the rest."""
    needing: dict[tuple[str, str], list[str]] = {}
    for name in config.make:
        run = used(config.model_copy(update={"make": [name]}))
        settings = [config.dataset(data) for data in run["data"]]
        settings += [getattr(config, section)[key] for section in ("models", "experiments") for key in run[section]]
        for package in {package: how for part in settings for package, how in missing(part).items()}.items():
            needing.setdefault(package, []).append(name)
    for (package, how), names in needing.items():
        yield f"{', '.join(names)}: the package {package} is not installed. Install it: {how}."
    rest = [name for name in config.make if all(name not in names for names in needing.values())]
    if needing and rest:
        yield f"To make the rest, run snakemake with --config 'make=[{', '.join(rest)}]'."


def _attempt(key: str, check: Callable[..., Iterable[str] | None], *arguments: object) -> Iterator[str]:
    """Yield the faults that a check yields, and that with which it ends."""
    try:
        yield from check(*arguments) or ()
    except ConfigurationError as error:
        yield str(error)
    except ValidationError as error:
        yield from sentences(error, key)
    except ValueError as error:
        yield f"key '{key}': {str(error).rstrip('.')}."


def _dataset(config: Config, key: str, name: str) -> DataSet:
    return config.dataset(known(name, config.datasets, key))


def _sizes(data: DataSet, split: str) -> Sizes | None:
    """Return the sizes of the images of a split; none where there are no images."""
    return data.sizes(split) if data.prepared else []


def _missing(key: str, settings: Settings, later: Path | None = None) -> Iterator[str]:
    """Yield the files and folders that settings name and that do not exist; those below `later` may be placed later."""
    for file in files(settings):
        folder, path = isinstance(file, NamedFolder), Path(file)
        if not (path.is_dir() if folder else path.is_file()) and later not in path.absolute().parents:
            fault = f"is no {'folder' if folder else 'file'}" if file and path.exists() else "does not exist"
            yield f"key '{key}' names the {'folder' if folder else 'file'} {file}, which {fault}."


def _model_faults(config: Config, name: str, data_folder: Path) -> Iterator[str]:
    """Yield what is wrong with a model: what it starts from, its data, its network."""
    model, key = config.models[name], f"models.{name}"
    yield from _missing(key, model, data_folder) if isinstance(model, Model) else _missing(f"{key}.source", model)
    data = _dataset(config, f"{key}.data", model.data)
    if isinstance(model, Model):
        chain = [name, *_ancestors(config, name)]
        if getattr(config.models.get(chain[-1]), "init", None) == name:
            yield f"key '{key}.init': the models {' -> '.join([*chain, name])} form a cycle."
        elif model.init and not model.network.starts_from(
            config.models[known(model.init, config.models, f"{key}.init")].network
        ):
            yield f"key '{key}.network' differs from that of '{model.init}', which training starts from."
        if data.prepared and data.sizes("train") == []:
            raise ValueError(f"the data '{model.data}' have no training images")
        model.check_images(data.channels, _sizes(data, "train"))
    _check_network(model.network, data, model.data)


def _check_network(network: NetworkSettings, data: DataSet, name: str) -> None:
    """Raise ValueError unless a network takes the samples of a data set, and can be certified by them."""
    shape = network.input_shape
    if (shape[:1] != (data.channels,) or len(shape) != 3) if data.prepared else shape != data.sample_shape:
        raise ValueError(f"the network '{network.name}' takes inputs of shape {shape}, but the data '{name}' have others")
    if network.certified and data.prepared:
        if data.sizes("test") == []:
            raise ValueError(f"the data '{name}' have no test images, at which the network '{network.name}' is certified")
        for height, width, _ in data.sizes("test") or []:
            if (shape[-1] or 0) > min(height, width):
                raise ValueError(
                    f"test images of {height}x{width} are smaller than the inputs of the network '{network.name}'"
                )


def _evaluation_faults(config: Config, section: str, name: str) -> Iterator[str]:
    """Yield what is wrong with curves or priors: models that don't exist or don't fit, images that are not there."""
    evaluation, key = getattr(config, section)[name], f"{section}.{name}"
    for model in evaluation.models:
        network = config.models[known(model, config.models, key)].network
        if network.role != "lpn" or (len(network.input_shape) == 1) != (section == "curves"):
            what = "numbers" if section == "curves" else "images"
            yield f"key '{key}' names the model '{model}', but needs learned proximal networks of {what}."
        elif section == "priors":
            data = _dataset(config, f"models.{model}.data", config.models[model].data)
            yield from _too_few(f"{key}.images", evaluation.images, config.models[model].data, _sizes(data, "test"))
    if section == "curves":
        for model in sorted(evaluation.titles.keys() - set(evaluation.models)):
            yield f"key '{key}.titles' names the model '{model}', which no figure shows."
        for model, title in evaluation.titles.items():
            yield from _attempt(f"{key}.titles.{model}", check_formulas, title)
        return
    for kind, perturbation in evaluation.perturbations.items():
        yield from _shown(f"{key}.perturbations.{kind}.rows", perturbation.rows, evaluation.images)
        yield from _attempt(f"{key}.perturbations.{kind}.symbol", check_formulas, perturbation.symbol)
    if evaluation.repeated:
        yield from _shown(f"{key}.repeated.rows", evaluation.repeated.rows, evaluation.images)


def _shown(key: str, shown: list[int], images: int) -> Iterator[str]:
    for image in shown:
        if image >= images:
            yield f"key '{key}' shows image {image}, but there are {images} images, counted from 0."


def _too_few(key: str, images: int, data: str, sizes: Sizes | None) -> Iterator[str]:
    """Yield a fault if a split is known to have fewer images."""
    counts = [count for *_, count in sizes or []]
    if None not in counts and sizes is not None and sum(map(int, filter(None, counts))) < images:
        yield f"key '{key}' is {images}, but '{data}' has fewer images."


def _experiment_faults(config: Config, name: str, data_folder: Path) -> Iterator[str]:
    """Yield what is wrong with an experiment: its images, its operator, its methods, its grid searches."""
    experiment, key = config.experiments[name], f"experiments.{name}"
    yield from _missing(key, experiment, data_folder)
    yield from _shown(f"{key}.shown", experiment.shown, experiment.images)
    data = _dataset(config, f"{key}.data", experiment.data)
    sizes = _sizes(data, "test")
    if sizes == []:
        raise ValueError(f"the data '{experiment.data}' have no test images")
    yield from _too_few(f"{key}.images", experiment.images, experiment.data, sizes)
    yield from _mixed_sizes(key, experiment, sizes or [])
    shapes = _shapes(data, sizes)
    yield from _attempt(key, _check_images, experiment, shapes)
    yield from _attempt(f"{key}.title", check_formulas, experiment.title)
    tuned, titles = [], dict[str, str]()
    for method, settings in experiment.methods.items():
        place = f"{key}.methods.{method}"
        if not settings.title:
            yield f"key '{place}' lacks 'title'."
        elif settings.title.startswith("_"):
            yield f"key '{place}.title' starts with _, so that Matplotlib would leave it out. Begin with another sign."
        elif (other := titles.setdefault(settings.title, method)) != method:
            yield f"key '{place}.title' is that of '{other}' too. Give each method of an experiment its own title."
        yield from _attempt(f"{place}.title", check_formulas, settings.title or "")
        faults = list(_attempt(place, _check_method, config, place, experiment, settings, shapes))
        yield from faults
        tuned += [method] if settings.tune and not faults else []
    if tuned:
        yield from _tuning_faults(config, key, experiment, data, tuned)


def _tuning_faults(config: Config, key: str, experiment: Experiment, data: DataSet, methods: list[str]) -> Iterator[str]:
    """Yield what is wrong with the images of grid searches, and with methods on them."""
    name, crop = experiment.tuning.data or experiment.data, experiment.tuning.crop
    found = _dataset(config, f"{key}.tuning.data", name)
    sizes = _sizes(found, "validation")
    if sizes == []:
        raise ConfigurationError(
            f"key '{key}.methods': 'tune' needs validation images, and '{name}' has none. Name a data set that has some "
            f"under '{key}.tuning.data'."
        )
    if found.channels != data.channels:
        raise ConfigurationError(f"key '{key}.tuning.data': '{name}' has other channels than '{experiment.data}'.")
    yield from _too_few(f"{key}.tuning.images", experiment.tuning.images, name, sizes)
    for height, width, _ in sizes or []:
        if crop and crop > min(height, width):
            raise ConfigurationError(f"key '{key}.tuning.crop' is {crop}, more than images of {height}x{width} have.")
    shapes = _shapes(found, sizes, crop)
    yield from _attempt(f"{key}.tuning", _check_images, experiment, shapes)
    for method in methods:
        place = f"{key}.methods.{method}.tune"
        yield from _attempt(place, _check_method, config, place, experiment, experiment.methods[method], shapes)


def _shapes(data: DataSet, sizes: Sizes | None, crop: int | None = None) -> list[Shape]:
    """Return the shapes of images, of which the centre may be cut out."""
    return [(data.channels or 0, crop or height, crop or width) for height, width, _ in sizes or [(LARGE, LARGE, None)]]


def _mixed_sizes(key: str, experiment: Experiment, sizes: Sizes) -> Iterator[str]:
    """Yield a fault where a job would hold images of two sizes."""
    position, per_job = 0, experiment.images_per_job
    for height, width, count in sizes[:-1]:
        position += count or 0
        if count and position < experiment.images and position % per_job:
            yield (
                f"key '{key}.images_per_job' is {per_job}: images {position - position % per_job} to {position} have two "
                f"sizes, {height}x{width} and another. Set it to a divisor of {position}; 1 always works."
            )


def _check_images(experiment: Experiment, shapes: list[Shape]) -> None:
    for shape in shapes:
        experiment.operator.check(shape)
        check_border(shape, experiment.border)


def _check_method(config: Config, key: str, experiment: Experiment, method: Method, shapes: list[Shape]) -> None:
    """Raise ValueError unless a method, at each point of its grid search, fits images and the operator."""
    for point in [point for row in method.rows() for point in row] or [{}] if method.solver else []:
        candidate = method.at(point)
        solver, prior, scale, _ = candidate.algorithm()
        for shape in shapes:
            if isinstance(prior, Denoiser) and not candidate.model:
                prior.check(shape)
                continue
            model = known(candidate.model or "", config.models, f"{key}.{solver.takes}.model")
            candidate.check_network(config.models[model].network, shape)
        solver.check(experiment.operator.known_norm, scale)
