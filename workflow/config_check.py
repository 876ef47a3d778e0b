"""Check of the configuration before any job runs: one clear paragraph that names the key and the remedy."""

import difflib
import sys
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError


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
    if error.validator is None:
        return f"key '{place}' must not be there (gamma belongs to proximal_matching alone)."
    return f"key '{place}': {error.message}. {error.schema.get('description', '')}".strip()


def _model_problems(model: dict[str, Any], models: dict[str, Any]) -> list[str]:
    """Return what is wrong with one model: settings that don't go together."""
    network, problems = model["network"], []
    fitting = {"laplace": "lpn_1d", "mnist": "lpn_28"}[model["data"]]
    if network["name"] != fitting or network.get("channels", 1) != 1:
        problems.append(f"network' does not fit the data {model['data']}, which need {fitting} with one channel.")
    start = models.get(model.get("init"), model)
    if start["network"] != network:
        problems.append(f"network' differs from that of '{model['init']}', which training starts from.")
    for i, phase in enumerate(model["phases"]):
        if phase["steps"] < len(phase.get("gamma", [])):
            problems.append(f"phases.{i}': {phase['steps']} steps can't hold {len(phase['gamma'])} values of gamma.")
    if model.get("validate_every", 1000) % model.get("log_every", 100):
        problems.append("validate_every' must be a multiple of 'log_every'.")
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
    references = {"mnist.model": [config["mnist"]["model"]]}
    references |= {f"laplacian.figures.{figure}": names for figure, names in config["laplacian"]["figures"].items()}
    for key, names in references.items():
        data = "mnist" if key == "mnist.model" else "laplace"
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
    return problems


def check_config(config: dict[str, Any], schema_path: Path) -> None:
    """Exit with one paragraph that names every faulty key where `config` does not fit the schema."""
    schema = yaml.safe_load(schema_path.read_text())
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.absolute_path)))
    problems = [_sentence(error) for error in errors] or _reference_problems(config)
    if problems:
        sys.exit("error in the configuration: " + " ".join(problems) + " Every key is explained in config/README.md.")
