import hashlib
import itertools
import json
import os
import re
import shlex
import sys
from pathlib import Path

ROOT = Path(workflow.basedir).parent
sys.path[:0] = [str(workflow.basedir), str(ROOT)]
os.environ.update(PYTHONPATH=str(ROOT))  # jobs find the package in any environment

from code_fingerprint import fingerprint
from config_check import apply_switches, check_config, check_unique_keys, is_lpn, merge

for file in workflow.configfiles:
    check_unique_keys(Path(file))
apply_switches(config)
check_config(config, Path(workflow.basedir) / "schemas/config.schema.yaml")

OUT = Path("results") / config["run"]
LOGS = Path("logs") / config["run"]
DATA = Path(os.environ.get("LPN_DATA", config["data"]["folder"]))
MIRRORS = shlex.join(config["data"]["mirrors"])
PUBLISHED = "config/published.yaml"
PREPARED = Path(config["data"]["folder"]) / "prepared"
LEVIN = PREPARED / "kernels/test.npy"
# small, and the same everywhere: checksummed, in a package, or computed
EMBEDDED = ("mnist", "photographs", "phantoms")
LAPLACIAN_SHOWN = {name for names in config["laplacian"]["figures"].values() for name in names}
LAPLACIAN_MODELS = [n for n in config["models"] if n in LAPLACIAN_SHOWN.union(config["laplacian"]["sensitivity"])]
MNIST_MODELS = [config["mnist"]["model"], *config["mnist"]["sensitivity"]]
PERTURBATIONS = list(config["mnist"]["perturbations"])
EXPERIMENTS = config["inverse"]["experiments"]


def methods(experiment):
    """Return the methods of an experiment by name: the shared settings overlaid with the experiment's own.

    Observations come first, then classical, unconstrained learned and exact denoisers: a configuration that is laid over
    another one shuffles their order.
    """
    shared = config["inverse"]["methods"]
    merged = {name: merge(shared.get(name, {}), own) for name, own in EXPERIMENTS[experiment]["methods"].items()}

    def kind(name):
        model = merged[name].get("prox", {}).get("model")
        return (merged[name]["solver"] != "observation", model is not None, is_lpn(model, config["models"]))

    return {name: merged[name] for name in sorted(merged, key=kind)}


METHODS = {experiment: methods(experiment) for experiment in EXPERIMENTS}


def start_of(model):
    """Return the model that a model's training starts from; None where there is none, or no training."""
    settings = config["models"][model]
    return None if "source" in settings else settings.get("init")


def used_models():
    """Return the models that an experiment or a figure asks for, with those they start from, in the order of the config."""
    used = {*LAPLACIAN_MODELS, *MNIST_MODELS}
    used |= {m["prox"]["model"] for ms in METHODS.values() for m in ms.values() if "model" in m.get("prox", {})}
    for name in list(used):
        while name := start_of(name):
            used.add(name)
    return [name for name in config["models"] if name in used]


MODELS = used_models()
IMPORTED = [name for name in MODELS if "source" in config["models"][name]]
TRAINED = [name for name in MODELS if name not in IMPORTED]
LPNS = [name for name in MODELS if is_lpn(name, config["models"])]
RESULT_TABLES = sorted({experiment["table"] for experiment in EXPERIMENTS.values()})
TABLES = ["certificates", "laplacian", "mnist", *RESULT_TABLES, "published"]


wildcard_constraints:
    model="|".join(map(re.escape, MODELS)),
    figure="|".join(map(re.escape, config["laplacian"]["figures"])),
    perturbation="|".join(PERTURBATIONS),
    experiment="|".join(map(re.escape, EXPERIMENTS)) or "none",
    method="|".join(sorted({re.escape(name) for ms in METHODS.values() for name in ms})) or "none",
    prepared=r"[a-z0-9_]+(-\d+)?",
    split="validation|test",
    part=r"\d+",
    row=r"\d+",


def canonical(value):
    """Return settings as one canonical string: the form in which Snakemake compares params reliably."""
    return json.dumps(value, sort_keys=True)


def model_spec(wildcards):
    """Return all that decides a model's training, but for the model it starts from."""
    spec = dict(config["models"][wildcards.model])
    spec.pop("init", None)
    return canonical(spec)


def model_file(name):
    """Return the path of a trained model."""
    return OUT / "models" / name / "model.pt"


def certified(name):
    """Return a trained model and, for an LPN, its certificate, without which no result may be made from it."""
    certificate = {"certificate": OUT / "certificates" / f"{name}.json"} if name in LPNS else {}
    return {"model": model_file(name)} | certificate


def prepared_data(name):
    """Return the prepared data set of a model, or nothing where samples are drawn."""
    data = config["models"][name]["data"]
    return [] if data == "laplace" else prepared_files(data)


def prepared_files(data):
    """Return the arrays of a prepared data set; one that must be the original has a folder of its own, named by its count."""
    count = config["data"]["counts"].get(data)
    return split_files(f"{data}-{count}" if count else data)


def split_files(prepared):
    """Return the arrays in a folder of prepared data."""
    return [PREPARED / prepared / f"{split}.npy" for split in ("train", "validation", "test")]


def used_data():
    """Return the data sets that must be prepared."""
    names = {config["models"][name]["data"] for name in MODELS}
    for name, experiment in EXPERIMENTS.items():
        names |= {experiment["data"]} | ({"kernels"} if kernel_file(name) == LEVIN else set())
        if any("tune" in method for method in METHODS[name].values()):
            names.add(measured_data(name, "validation"))
    return sorted(names - {"laplace"})


def per_attempt(amount):
    """Return a resource (MB or minutes) that grows with every retry of a job."""
    return lambda wildcards, attempt: amount * attempt


def count_option(prepared):
    """Return the option that demands the original number of images, where a folder of prepared data is named by it."""
    count = prepared.partition("-")[2]
    return f"--count {count}" if count else ""


def unchecked_source(prepared):
    """Return where data come from that may be others elsewhere: all but embedded and counted ones."""
    return "" if "-" in prepared or prepared in EMBEDDED else f"{DATA} {MIRRORS}"


def data_option(files):
    """Return the option that names the folder of a prepared data set."""
    return option("data", Path(files[0]).parent) if files else ""


def option(name, path):
    """Return a quoted command line option, or nothing where there is no such file."""
    return f"--{name} {shlex.quote(str(path))}" if path else ""


def init_model(wildcards):
    """Return the model that training starts from, if any."""
    init = start_of(wildcards.model)
    return model_file(init) if init else []


def import_spec(wildcards):
    """Return where a model comes from, and its architecture."""
    return canonical({key: config["models"][wildcards.model][key] for key in ("source", "network")})


def import_file(wildcards):
    """Return the file of a model that is given by a path; those of other sources are downloaded by the job."""
    source = config["models"][wildcards.model]["source"]
    return [] if "://" in source or source.startswith("drive:") else source


def checkpoint_folder(wildcards):
    """Return where a training's resumable state lives: apart from the outputs, which Snakemake deletes on a rerun."""
    ancestry, name = [], wildcards.model
    while name:
        ancestry.append(config["models"][name])
        name = start_of(name)
    key = hashlib.sha256((fingerprint("scripts/train.py") + canonical(ancestry)).encode())
    return OUT / "checkpoints" / wildcards.model / key.hexdigest()[:16]


def certificate_spec(wildcards):
    """Return the certificate's settings for a model; scalar ones are examined on the grid of their evaluation."""
    data = config["models"][wildcards.model]["data"]
    grid = {name: config["laplacian"]["grid"][name] for name in ("low", "high")} if data == "laplace" else {}
    return canonical(config["certificate"] | {"data": data} | grid)


def curve_spec(wildcards):
    """Return the settings of a scalar model's evaluation."""
    return canonical(config["laplacian"]["grid"] | {"sigma": config["models"][wildcards.model]["sigma"]})


def curve_files(names):
    """Return the evaluated curves of 1-D models."""
    return [OUT / "laplacian/curves" / f"{name}.csv" for name in names]


def laplacian_figure_spec(wildcards):
    """Return what the Laplacian notebook needs besides the curves."""
    names = config["laplacian"]["figures"][wildcards.figure]
    return canonical(
        {
            "titles": [config["laplacian"]["titles"].get(name, name) for name in names],
            "curves": [str(path) for path in curve_files(names)],
            "shown": config["laplacian"]["shown"],
            "label": config["label"],
        }
    )


def perturbation_spec(wildcards):
    """Return the settings of one prior evaluation."""
    settings = config["mnist"]["perturbations"][wildcards.perturbation]
    return canonical(
        {
            "perturbation": wildcards.perturbation,
            "levels": settings["levels"],
            "images": config["mnist"]["images"],
            "seed": config["mnist"]["seed"],
        }
        | config["mnist"]["inversion"]
    )


def prior_files(format, models):
    """Return the evaluated priors of models at all perturbations."""
    return expand(
        OUT / "mnist/prior/{model}/{perturbation}.{format}", model=models, perturbation=PERTURBATIONS, format=format
    )


def perturbation_figure_spec(wildcards):
    """Return what the MNIST notebooks need besides the evaluated priors."""
    settings = config["mnist"]["perturbations"][wildcards.perturbation]
    return canonical(
        {
            "perturbation": wildcards.perturbation,
            "rows": settings["rows"],
            "symbol": settings["symbol"],
            "label": config["label"],
        }
    )


def images_per_job(experiment):
    """Return how many images of an experiment one job takes."""
    return EXPERIMENTS[experiment].get("images_per_job", config["inverse"]["images_per_job"])


def parts(experiment):
    """Return the numbers of the jobs that an experiment's images are split into."""
    return range(-(-EXPERIMENTS[experiment]["images"] // images_per_job(experiment)))


def measured_data(experiment, split):
    """Return the data set whose test or validation images an experiment measures."""
    tuning = EXPERIMENTS[experiment].get("tuning", {})
    return (
        tuning.get("data", EXPERIMENTS[experiment]["data"])
        if split == "validation"
        else EXPERIMENTS[experiment]["data"]
    )


def kernel_file(experiment):
    """Return the file that an experiment's blur kernel comes from, if any: Levin's set, or the user's own."""
    kernel = EXPERIMENTS[experiment]["operator"].get("kernel", "gaussian")
    if kernel in ("gaussian", "box"):
        return []
    return LEVIN if kernel == "levin" else kernel


def operator_spec(experiment):
    """Return the settings of an experiment's operator, with the file of its kernel in the place of "levin"."""
    file = kernel_file(experiment)
    return EXPERIMENTS[experiment]["operator"] | ({"kernel": str(file)} if file else {})


def measurement_spec(wildcards):
    """Return the settings of the measurements of one part of an experiment's images."""
    experiment = EXPERIMENTS[wildcards.experiment]
    settings = {key: experiment[key] for key in ("noise", "seed")} | {"operator": operator_spec(wildcards.experiment)}
    if wildcards.split == "test":
        per_job = images_per_job(wildcards.experiment)
        first = int(wildcards.part) * per_job
        images = {"first": first, "images": min(per_job, experiment["images"] - first)}
    else:
        images = {
            "first": 0,
            "images": config["inverse"]["tuning_images"],
            "crop": experiment.get("tuning", {}).get("crop"),
        }
    return canonical(settings | {"split": wildcards.split} | images)


def method_models(experiment, method):
    """Return the model, with its certificate, of a method with a learned denoiser, else nothing."""
    prox = METHODS[experiment][method].get("prox", {})
    return certified(prox["model"]) if "model" in prox else {}


def on_gpu(wildcards):
    """Return how many GPUs a method asks for."""
    return 1 if method_models(wildcards.experiment, wildcards.method) else 0


def method_spec(experiment, method):
    """Return all that decides a reconstruction but its measurements, its model and its tuned parameters."""
    keys = ("seed", "clip", "border", "channelwise")
    settings = {key: EXPERIMENTS[experiment][key] for key in keys if key in EXPERIMENTS[experiment]}
    settings["operator"] = operator_spec(experiment)
    method = {key: value for key, value in METHODS[experiment][method].items() if key not in ("title", "tune")}
    return settings | {"method": method}


def reconstruction_spec(wildcards):
    """Return the settings of one reconstruction job."""
    first = int(wildcards.part) * images_per_job(wildcards.experiment)
    return canonical(method_spec(wildcards.experiment, wildcards.method) | {"first": first})


def tuning_rows(experiment, method):
    """Return the points of a method's grid search by rows, each the work of one job: those of a value of the first key."""
    grid = METHODS[experiment][method]["tune"]
    first, *others = [[(key, value) for value in values] for key, values in grid.items()]
    return [[dict(point) for point in itertools.product([choice], *others)] for choice in first]


def tuning_spec(wildcards):
    """Return the settings of one row of a grid search."""
    points = tuning_rows(wildcards.experiment, wildcards.method)[int(wildcards.row)]
    return canonical(method_spec(wildcards.experiment, wildcards.method) | {"points": points})


def tuning_files(wildcards):
    """Return the scores of all rows of a grid search."""
    rows = range(len(tuning_rows(wildcards.experiment, wildcards.method)))
    return expand(OUT / "inverse/{{experiment}}/tuning/{{method}}/{row}.json", row=rows)


def chosen_parameters(wildcards):
    """Return the result of a method's grid search, if it has one."""
    tuned = METHODS[wildcards.experiment][wildcards.method].get("tune")
    return OUT / "inverse" / wildcards.experiment / f"tuning/{wildcards.method}.json" if tuned else []


def method_files(experiment, pattern, iterative=False):
    """Return a file of each part of each method (or of each iterative one), e.g. with pattern "{part}.csv"."""
    names = [name for name, method in METHODS[experiment].items() if not iterative or method["solver"] != "observation"]
    folder = OUT / "inverse" / experiment
    return expand(folder / "{method}" / pattern, method=names, part=parts(experiment))


def shown_parts(experiment):
    """Return the numbers of the jobs that make the images which figures show."""
    return sorted({image // images_per_job(experiment) for image in EXPERIMENTS[experiment]["shown"]})


def scale_searches(experiment):
    """Return the methods of an experiment that search for the weight of the data term."""
    return [name for name, method in METHODS[experiment].items() if "scale" in method.get("tune", {})]


def figure_kinds(experiment):
    """Return the kinds of figures of an experiment."""
    return ["comparison", "convergence", *(["tuning"] if scale_searches(experiment) else [])]


def inverse_figure_files(wildcards):
    """Return the files that a figure of an experiment is drawn from."""
    experiment = wildcards.experiment
    if wildcards.kind == "convergence":
        return method_files(experiment, "{part}_iterations.csv", iterative=True)
    if wildcards.kind == "tuning":
        return expand(OUT / "inverse" / experiment / "tuning/{method}.json", method=scale_searches(experiment))
    folder = OUT / "inverse" / experiment
    shown = shown_parts(experiment)
    results = expand(folder / "{method}/{part}{kind}", method=METHODS[experiment], part=shown, kind=[".npz", ".csv"])
    return results + expand(folder / "measurements/test_{part}.npz", part=shown)


def inverse_figure_spec(wildcards):
    """Return what the notebooks of the inverse problems need besides the files."""
    experiment = EXPERIMENTS[wildcards.experiment]
    return canonical(
        {
            "folder": str(OUT / "inverse" / wildcards.experiment),
            "title": f"{experiment['title']} (data: {experiment['data']})",
            "methods": {name: method["title"] for name, method in METHODS[wildcards.experiment].items()},
            "order": list(METHODS[wildcards.experiment]),
            "iterative": [
                n for n, method in METHODS[wildcards.experiment].items() if method["solver"] != "observation"
            ],
            "shown": experiment["shown"],
            "images_per_job": images_per_job(wildcards.experiment),
            "parts": len(parts(wildcards.experiment)),
            "searches": scale_searches(wildcards.experiment),
            "label": config["label"],
        }
    )


def table_titles(table):
    """Return title, data, problem and methods of a table's experiments."""
    return {
        name: {key: experiment[key] for key in ("title", "data", "operator", "noise")}
        | {"methods": {method: settings["title"] for method, settings in METHODS[name].items()}}
        for name, experiment in EXPERIMENTS.items()
        if experiment["table"] == table
    }


def table_inputs(table):
    """Return the files that a table is made from."""
    if table in RESULT_TABLES:
        return [file for name in table_titles(table) for file in method_files(name, "{part}.csv")]
    shown = curve_files(name for name in LAPLACIAN_MODELS if name in LAPLACIAN_SHOWN)
    return {
        "certificates": expand(OUT / "certificates/{model}.json", model=LPNS),
        "laplacian": curve_files(LAPLACIAN_MODELS),
        "mnist": prior_files("csv", MNIST_MODELS),
        "published": [*shown, *prior_files("csv", MNIST_MODELS[:1])],
    }[table]


def table_arrays(table):
    """Return the arrays that a table reads beside its files."""
    return prior_files("npz", MNIST_MODELS) if table == "mnist" else []


def table_options(table):
    """Return the options of one table's command line, and no other's, so that they rerun that table alone.

    A param, so it takes wildcards alone: params that are derived from inputs do not trigger reruns.
    """
    if table in RESULT_TABLES:
        return f"--titles {shlex.quote(json.dumps(table_titles(table)))}"
    return f"--shown {config['laplacian']['shown']}" if table == "laplacian" else ""


LAPLACIAN_FIGURES = expand(
    OUT / "figures/laplacian_{figure}.{format}",
    figure=config["laplacian"]["figures"],
    format=["pdf", "png", "html"],
)
MNIST_FIGURES = expand(
    OUT / "figures/mnist_{perturbation}_{kind}.{format}",
    perturbation=PERTURBATIONS,
    kind=["grid", "violin"],
    format=["pdf", "png", "html"],
)
INVERSE_FIGURES = [
    OUT / f"figures/{experiment}_{kind}.{format}"
    for experiment in EXPERIMENTS
    for kind in figure_kinds(experiment)
    for format in ("pdf", "png", "html")
]
