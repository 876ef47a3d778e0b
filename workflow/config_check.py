"""Check of the configuration before any job runs: one clear paragraph that names the key and the remedy."""

import difflib
import importlib.util
import math
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

# to JSON Schema 4.0 is an integer, and NaN a number
_TYPES = Draft202012Validator.TYPE_CHECKER.redefine_many(
    {
        "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
        "number": lambda _, value: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value),
    }
)
_Validator = validators.extend(Draft202012Validator, type_checker=_TYPES)


def _sentence(error: ValidationError) -> str:
    place = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "additionalProperties" and isinstance(error.schema.get("properties"), dict):
        known = list(error.schema["properties"])
        sentences = []
        for key in sorted(set(error.instance) - set(known)):
            close = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"the known keys are: {', '.join(known)}."
            sentences.append(f"unknown key '{key}' ({place}); {hint}")
        return " ".join(sentences)
    if (
        error.validator == "type"
        and isinstance(error.instance, str)
        and re.fullmatch(r"[-+]?[\d.]+[eE][-+]?\d+", error.instance)
    ):
        remedy = "in full, as 1000" if error.validator_value == "integer" else "with a point and a sign, as 1.0e-3 or 1.0e+3"
        return f"key '{place}': {error.instance} is text in YAML. Write it {remedy}."
    if error.validator is None:
        return f"key '{place}' must not be there (gamma belongs to proximal_matching alone)."
    return f"key '{place}': {error.message}. {error.schema.get('description', '')}".strip()


DATA_NETWORKS = {"laplace": ("lpn_1d", 1), "mnist": ("lpn_28", 1)}  # data of one fixed network: name, channels
CHANNELS = {"celeba": 3, "mayo": 1, "photographs": 3, "phantoms": 1}
CHANNELS |= {"bsds500": 3, "bsds500_grey": 1, "set11": 1, "mcmaster": 3, "kodak": 3, "own": 3}
SIDES = {"celeba": 128, "mayo": 512, "photographs": 128, "phantoms": 128, "own": 256}  # shorter sides of the images
SIDES |= {"bsds500": 321, "bsds500_grey": 321, "set11": 256, "mcmaster": 500, "kodak": 512}
LPNS = ("lpn_1d", "lpn_28", "lpn_128")
NETWORK_KEYS = {  # of each network, besides its name
    "lpn_1d": {"hidden", "layers", "beta", "alpha"},
    "lpn_28": {"channels", "hidden", "beta", "alpha"},
    "lpn_128": {"channels", "hidden", "beta", "alpha", "size"},
    "dncnn": {"channels", "hidden", "depth"},
    "gradient_step": {"channels", "hidden", "blocks"},
}
OPERATOR_KEYS = {  # of each operator, besides its name: what it needs, what it may have
    "identity": (set(), set()),
    "blur": (set(), {"sigma", "kernel", "side", "number"}),
    "circular_blur": (set(), {"sigma", "kernel", "side", "number"}),
    "bayer": (set(), set()),
    "tomography": (set(), {"angles", "detectors"}),
    "compressed_sensing": ({"measurements"}, set()),
}
SOLVER_KEYS = {  # of each solver: what it needs, what it may have
    "admm": ({"rho"}, {"order", "box"}),
    "gradient_step": ({"rho"}, set()),
    "pgd": (set(), {"step", "box"}),
    "pdhg": (set(), {"step", "dual_step", "tv", "relaxation"}),
}
PROX_KEYS = {  # of each denoiser, besides its name or model and clip: what it needs, what it may have
    "LPNs": (set(), {"mode", "stride", "strength"}),
    "other networks": (set(), {"precision"}),
    "tv": ({"weight"}, {"iterations"}),
    "wavelet": ({"weight"}, {"family", "levels"}),
    "bm3d": ({"sigma"}, set()),
    "nlm": ({"sigma"}, {"patch", "window"}),
}
SIZES = {"lpn_28": 28, "lpn_128": 128}  # sides of the networks' inputs, unless `size` says otherwise
METHOD_KEYS = {"title", "solver", "prox", "scale", "tolerance", "cg_iterations", "iterations", "stop", "tune"}
TEST_ONLY = ("set11", "mcmaster", "kodak")  # data without training and validation images


def _foreign_keys(settings: dict[str, Any], own: set[str]) -> list[str]:
    """Return what is wrong with the settings of a network or an operator: keys that are none of its own."""
    keys = f"has {', '.join(sorted(own))}" if own else "has no settings"
    return [
        f"{key}' is none of {settings['name']}, which {keys}; null removes a key that another configuration gave."
        for key in sorted(settings.keys() - own - {"name"})
    ]


def _model_problems(model: dict[str, Any], models: dict[str, Any]) -> list[str]:
    """Return what is wrong with one model: settings that don't go together."""
    network, data = model["network"], model["data"]
    problems = [f"network.{sentence}" for sentence in _foreign_keys(network, NETWORK_KEYS[network["name"]])]
    convolutional = network["name"] in ("dncnn", "gradient_step")
    name, channels = DATA_NETWORKS.get(data, (network["name"], CHANNELS.get(data)))
    if network["name"] != name or (data in CHANNELS and network["name"] in ("lpn_1d", "lpn_28")):
        problems.append(f"network' does not fit the data {data}, which need {'lpn_128' if data in CHANNELS else name}.")
    elif network.get("channels", 1 if data in DATA_NETWORKS else None) != channels:
        problems.append(f"network' does not fit the data {data}, which need 'channels' {channels}.")
    if "source" in model:
        source = model["source"]
        if "://" not in source and not source.startswith("drive:") and not Path(source).is_file():
            problems.append(f"source' names the file {source}, which does not exist.")
        return problems
    if convolutional != ("patch" in model):
        problems.append("patch' is the side of training patches: for dncnn and gradient_step, and for these alone.")
    if network["name"] == "gradient_step" and model.get("patch", 0) % 2:
        problems.append("patch' must be even for gradient_step.")
    if network["name"] == "gradient_step" and model.get("compile"):
        problems.append("compile' is not for gradient_step, which is differentiated twice: torch.compile can't.")
    if model["batch_size"] % model.get("crops", 1):
        problems.append("batch_size' must be a multiple of 'crops'.")
    start = models.get(model.get("init"), model)
    if start["network"] != network:
        problems.append(f"network' differs from that of '{model['init']}', which training starts from.")
    for i, phase in enumerate(model["phases"]):
        if phase["steps"] < len(phase.get("gamma", [])):
            problems.append(f"phases.{i}': {phase['steps']} steps can't hold {len(phase['gamma'])} values of gamma.")
    if model.get("validate_every", 1000) % model.get("log_every", 100):
        problems.append("validate_every' must be a multiple of 'log_every'.")
    return problems


def is_lpn(name: str | None, models: dict[str, Any]) -> bool:
    """Return whether a name is that of a model, and the model a learned proximal network."""
    return name in models and models[name]["network"]["name"] in LPNS


def _method_problems(key: str, method: dict[str, Any], data: str, models: dict[str, Any]) -> list[str]:
    """Return what is wrong with one method of an experiment on `data`, after merging."""
    if "solver" not in method or "title" not in method:
        return [f"key '{key}' has no 'solver' or no 'title', and 'inverse.methods' has none of that name."]
    if method["solver"] == "observation":
        foreign = sorted(method.keys() - {"solver", "title"})
        return [f"key '{key}.{name}' is none of an observation, which has only a title." for name in foreign]
    prox, tune, problems = method.get("prox", {}), method.get("tune", {}), []
    tuned = {name for name in tune if not name.startswith("prox.")}
    tuned_prox = {name.removeprefix("prox.") for name in tune.keys() - tuned}
    if ("model" in prox) == ("name" in prox):
        return [f"key '{key}.prox' must name either a 'model' or a classical denoiser ('name')."]
    needed, optional = SOLVER_KEYS[method["solver"]]
    problems += [f"key '{key}' lacks '{name}'." for name in sorted(needed | {"scale", "iterations"}) if name not in method]
    problems += [
        f"key '{key}.{name}' is none of the solver {method['solver']}."
        for name in sorted((method.keys() | tuned) - needed - optional - METHOD_KEYS)
    ]
    if "model" in prox and prox["model"] not in models:
        return [*problems, f"key '{key}.prox.model' names the model '{prox['model']}', which does not exist."]
    kind = prox.get("name") or ("LPNs" if is_lpn(prox["model"], models) else "other networks")
    given = prox.keys() | tuned_prox
    needed, optional = PROX_KEYS[kind]
    problems += [f"key '{key}.prox' lacks '{name}'." for name in sorted(needed - given)]
    problems += [
        f"key '{key}.prox.{name}' is none of {kind}, which have {', '.join(sorted(needed | optional))}."
        for name in sorted(given - needed - optional - {"name", "model", "clip"})
    ]
    if kind == "bm3d" and importlib.util.find_spec("bm3d") is None:
        problems.append(f"key '{key}' needs the package bm3d: pip install --editable '.[bm3d]' (for non-commercial use).")
    if prox.get("mode") == "paper" and "strength" in prox.keys() | tuned_prox:
        problems.append(f"key '{key}.prox.strength' is for learned proximal networks in exact mode alone.")
    return problems + (_model_fit_problems(key, prox, data, models[prox["model"]]["network"]) if "model" in prox else [])


def _model_fit_problems(key: str, prox: dict[str, Any], data: str, network: dict[str, Any]) -> list[str]:
    """Return why a network does not fit the images of `data` as a denoiser."""
    model = f"key '{key}.prox.model': '{prox['model']}'"
    if network["name"] == "lpn_1d":
        return [f"{model} takes numbers, not images."]
    if network.get("channels", 1) != CHANNELS[data]:
        return [f"{model} takes images of another number of channels than {data}."]
    size = network.get("size", SIZES.get(network["name"]))
    exact = prox.get("mode", "exact") == "exact"
    if network["name"] == "gradient_step" and SIDES[data] % 2:
        return [f"{model} takes images of even sides; those of {data} have {SIDES[data]} pixels on one."]
    if size and not exact and size > SIDES[data]:
        return [
            f"{model} has patches of {size}x{size}; in mode paper they must fit into the images, of {SIDES[data]} pixels."
        ]
    if size and "stride" in prox and (prox["stride"] > size or (exact and size % prox["stride"])):
        bound = "divide" if exact else "be at most"
        return [f"key '{key}.prox.stride' is {prox['stride']}; it must {bound} {size}, the side of the patches."]
    return []


def _kernel_problems(key: str, operator: dict[str, Any]) -> list[str]:
    """Return what is wrong with the kernel of a blur."""
    kernel = operator.get("kernel")
    if kernel is None and operator["name"] == "circular_blur":
        return [f"key '{key}' lacks 'kernel'."]
    named = {None: {"sigma"}, "gaussian": {"sigma", "side"}, "box": {"side"}}
    needed, given = named.get(kernel, set()), operator.keys() & {"sigma", "side", "number"}
    problems = []
    if given - (set() if kernel in named else {"number"}) != needed:
        problems.append(
            f"key '{key}' must name a kernel: gaussian (with sigma and side), box (with side), levin or a file (with number "
            "at most), or for blur no kernel but sigma, which gives the LPN paper's; "
            f"it is {kernel or 'none'} with {', '.join(sorted(given)) or 'nothing'}."
        )
    elif kernel not in (*named, "levin") and not Path(kernel).is_file():
        problems.append(f"key '{key}.kernel' names the file {kernel}, which does not exist.")
    if operator.get("side", 1) % 2 == 0:
        problems.append(f"key '{key}.side' is {operator['side']}; a kernel's side must be odd.")
    return problems


def _experiment_problems(key: str, experiment: dict[str, Any]) -> list[str]:
    """Return what is wrong with an experiment besides its methods."""
    operator, data = experiment["operator"], experiment["data"]
    needed, optional = OPERATOR_KEYS[operator["name"]]
    problems = [f"key '{key}.operator.{sentence}" for sentence in _foreign_keys(operator, needed | optional)]
    problems += [f"key '{key}.operator' lacks '{name}'." for name in sorted(needed - operator.keys())]
    if operator["name"] in ("blur", "circular_blur"):
        problems += _kernel_problems(f"{key}.operator", operator)
    if operator["name"] == "bayer" and CHANNELS[data] != 3:
        problems.append(f"key '{key}.operator': a Bayer mosaic takes colour images; those of {data} are grey.")
    tuning = experiment.get("tuning", {}).get("data", data)
    if CHANNELS[tuning] != CHANNELS[data]:
        problems.append(f"key '{key}.tuning.data': {tuning} has images of another number of channels than {data}.")
    return problems


def _has(settings: dict[str, Any], path: str) -> bool:
    """Return whether settings hold a value at a path such as "prox.weight"."""
    name, _, rest = path.partition(".")
    return name in settings and (not rest or _has(settings[name], rest))


def _tuning_problems(key: str, own: dict[str, Any], merged: dict[str, Any]) -> list[str]:
    """Return what is wrong with an experiment's own values of parameters that the method, by its shared settings, tunes."""
    return [
        f"key '{key}.{path}' has no effect, as 'tune' of the method searches for it: set '{key}.tune' to null, or to values."
        for path in merged.get("tune", {})
        if "tune" not in own and _has(own, path)
    ]


def _inverse_problems(config: dict[str, Any]) -> list[str]:
    """Return what is wrong with the experiments of the inverse problems."""
    inverse, problems = config["inverse"], []
    for name, experiment in inverse["experiments"].items():
        key = f"inverse.experiments.{name}"
        problems += [
            f"key '{key}.shown' shows image {image}, but the experiment has {experiment['images']}."
            for image in experiment["shown"]
            if image >= experiment["images"]
        ]
        problems += _experiment_problems(key, experiment)
        titles: dict[str, str] = {}
        for method, own in experiment["methods"].items():
            merged = merge(inverse["methods"].get(method, {}), own)
            problems += _method_problems(f"{key}.methods.{method}", merged, experiment["data"], config["models"])
            problems += _tuning_problems(f"{key}.methods.{method}", own, merged)
            other = titles.setdefault(merged.get("title", method), method)
            if other != method:
                problems.append(f"key '{key}.methods.{method}.title' is that of '{other}' too: who could tell them apart?")
            if "tune" in merged and experiment.get("tuning", {}).get("data", experiment["data"]) in TEST_ONLY:
                problems.append(
                    f"key '{key}.methods.{method}.tune' needs validation images, which {experiment['data']} has not: name a "
                    f"data set that has some under '{key}.tuning.data'."
                )
    return problems


def _reference_problems(config: dict[str, Any]) -> list[str]:
    """Return what a schema can't say: names of models that don't exist, starts that form a circle, missing levels."""
    models, problems = config["models"], []
    for name in models:
        seen = [name]
        while (start := models[seen[-1]].get("init")) is not None:
            if start not in models:
                problems.append(f"key 'models.{seen[-1]}.init' names the model '{start}', which does not exist.")
                break
            if start in seen:
                problems.append(f"key 'models.{name}.init': the models {' -> '.join([*seen, start])} form a circle.")
                break
            seen.append(start)
    for name, model in models.items():
        problems += [f"key 'models.{name}.{sentence}" for sentence in _model_problems(model, models)]
    references = {f"{part}.sensitivity": config[part]["sensitivity"] for part in ("laplacian", "mnist")}
    references["mnist.model"] = [config["mnist"]["model"]]
    references |= {f"laplacian.figures.{figure}": names for figure, names in config["laplacian"]["figures"].items()}
    for key, names in references.items():
        data = "mnist" if key.startswith("mnist") else "laplace"
        for name in names:
            if name not in models:
                problems.append(f"key '{key}' names the model '{name}', which does not exist.")
            elif models[name]["data"] != data:
                problems.append(f"key '{key}' names the model '{name}', which was not trained on {data} data.")
    for kind, settings in config["mnist"]["perturbations"].items():
        problems += [
            f"key 'mnist.perturbations.{kind}.rows' shows image {row}, but 'mnist.images' is {config['mnist']['images']}."
            for row in settings["rows"]
            if row >= config["mnist"]["images"]
        ]
    return problems + _inverse_problems(config)


def apply_switches(config: dict[str, Any]) -> None:
    """Remove what null switches off: models, experiments, methods, keys of networks and operators.

    True, a method without settings of its own, becomes an empty mapping, which in a configuration could not switch a method
    on again: Snakemake leaves a null below it. What is no mapping, though it should be, is left to `check_config`.
    """

    def mapping(value: Any) -> dict[str, Any]:
        return value if isinstance(value, dict) else {}

    inverse = mapping(config.get("inverse"))
    experiments = mapping(inverse.get("experiments"))
    places = [config.get("models"), inverse.get("methods"), experiments]
    places += [mapping(experiment).get(key) for experiment in experiments.values() for key in ("methods", "operator")]
    places += [mapping(model).get("network") for model in mapping(config.get("models")).values()]
    for place in map(mapping, places):
        for name in [name for name, value in place.items() if value is None]:
            del place[name]
    for methods in (mapping(mapping(experiment).get("methods")) for experiment in experiments.values()):
        methods.update({name: {} for name, own in methods.items() if own is True})


def merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return `base` overlaid with `own`, dictionaries in dictionaries too; a null of `own` removes a key."""
    nested = [name for name in base.keys() & own.keys() if isinstance(base[name], dict) and isinstance(own[name], dict)]
    both = {name: merge(base[name], own[name]) for name in nested}
    return {name: value for name, value in (base | own | both).items() if value is not None}


def check_unique_keys(path: Path) -> None:
    """Exit where a YAML file gives a key twice: of two values YAML keeps the last and says nothing."""

    def check(node: yaml.Node) -> None:
        names: set[str] = set()
        for key, value in node.value if isinstance(node, yaml.MappingNode) else []:
            if key.value in names:
                place = f"{path}, line {key.start_mark.line + 1}"
                sys.exit(
                    f"error in the configuration: {place}: the key '{key.value}' is given twice in one place, and the first "
                    "value would be lost. Write both parts under one key."
                )
            names.add(key.value)
            check(value)
        for child in node.value if isinstance(node, yaml.SequenceNode) else []:
            check(child)

    for document in yaml.compose_all(path.read_text()):
        check(document)


def check_config(config: dict[str, Any], schema_path: Path) -> None:
    """Exit with one paragraph that names every faulty key where `config` does not fit the schema."""
    schema = yaml.safe_load(schema_path.read_text())
    errors = sorted(_Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.absolute_path)))
    problems = [_sentence(error) for error in errors] or _reference_problems(config)
    if problems:
        sys.exit("error in the configuration: " + " ".join(problems) + " Every key is explained in config/README.md.")
