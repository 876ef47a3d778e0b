import hashlib
import json
import os
import shlex
import sys
from pathlib import Path

ROOT = Path(workflow.basedir).parent
sys.path[:0] = [str(workflow.basedir), str(ROOT)]
os.environ.update(PYTHONPATH=str(ROOT))  # jobs find the package in any environment

from code_fingerprint import fingerprint
from config_check import check_config

check_config(config, Path(workflow.basedir) / "schemas/config.schema.yaml")

OUT = Path("results") / config["run"]
LOGS = Path("logs") / config["run"]
DATA = Path(os.environ.get("LPN_DATA", config["data"]["folder"]))
MIRRORS = shlex.join(config["data"]["mirrors"])
PREPARED = Path(config["data"]["folder"]) / "prepared"
MODELS = list(config["models"])
PERTURBATIONS = list(config["mnist"]["perturbations"])
TABLES = ["certificates", "laplacian", "mnist", "published"]


wildcard_constraints:
    model="|".join(map(re.escape, MODELS)),
    figure="|".join(map(re.escape, config["laplacian"]["figures"])),
    perturbation="|".join(PERTURBATIONS),


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
    """Return a trained model and its certificate, without which no result may be made from it."""
    return {
        "model": model_file(name),
        "certificate": OUT / "certificates" / f"{name}.json",
    }


def prepared_data(name):
    """Return the prepared data set of a model, or nothing where samples are drawn."""
    data = config["models"][name]["data"]
    return [] if data == "laplace" else PREPARED / f"{data}.npy"


def option(name, path):
    """Return a quoted command line option, or nothing where there is no such file."""
    return f"--{name} {shlex.quote(str(path))}" if path else ""


def init_model(wildcards):
    """Return the model that training starts from, if any."""
    init = config["models"][wildcards.model].get("init")
    return model_file(init) if init else []


def checkpoint_folder(wildcards):
    """Return where a training's resumable state lives: apart from the outputs, which Snakemake deletes on a rerun."""
    ancestry, name = [], wildcards.model
    while name:
        ancestry.append(config["models"][name])
        name = config["models"][name].get("init")
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


def laplacian_models():
    """Return the models that Laplacian figures show, each once, in the order of the config."""
    shown = {name for names in config["laplacian"]["figures"].values() for name in names}
    return [name for name in MODELS if name in shown]


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


def table_inputs(table):
    """Return the files that a table is made from."""
    curves = curve_files(laplacian_models())
    priors = expand(OUT / "mnist/prior/{perturbation}.csv", perturbation=PERTURBATIONS)
    return {
        "certificates": expand(OUT / "certificates/{model}.json", model=MODELS),
        "laplacian": curves,
        "mnist": priors,
        "published": [*curves, *priors],
    }[table]


def table_arrays(table):
    """Return the arrays that a table reads beside its files."""
    return expand(OUT / "mnist/prior/{perturbation}.npz", perturbation=PERTURBATIONS) if table == "mnist" else []


def table_options(table):
    """Return the options of one table's command line, and no other's, so that they rerun that table alone.

    A param, so it takes wildcards alone: params that are derived from inputs do not trigger reruns.
    """
    options = {"laplacian": f"--shown {config['laplacian']['shown']}", "published": "--published config/published.yaml"}
    return options.get(table, "")


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
