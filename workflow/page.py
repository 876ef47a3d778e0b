"""What the page of a run shows: the papers in their order, with figures, captions, tables, parameters and networks.

example:
  python workflow/page.py config/demo.yaml --output page.json     # for scripts/make_page.py
"""

import argparse
import itertools
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from artifacts import Artifacts
from configuration import replace_text, resolve
from layout import Layout, canonical
from plan import Plan, learned_model

LPN = "Fang, Buchanan, Sulam: What's in a Prior? Learned Proximal Networks for Inverse Problems (ICLR 2024)"
OPERATORS = "Meinhardt, Moeller, Hazirbas, Cremers: Learning Proximal Operators (ICCV 2017)"
OF_2017 = ("denoising", "deconvolution", "demosaicking")  # tables; those that are of neither paper follow the first
RUN_TABLES = {"certificates": "Certificates of the networks", "published": "Published values of figures, and ours"}


def page(artifacts: Artifacts, configfiles: Iterable[Path]) -> dict[str, Any]:
    """Return the content of a run's page, as scripts/make_page.py reads it."""
    plan, config = artifacts.plan, artifacts.config
    files = shlex.join(map(str, configfiles))
    parts = {LPN: _evaluations(artifacts), OPERATORS: list[dict[str, Any]]()}
    for table in sorted(name for name, artifact in artifacts.tables.items() if artifact.section == "experiments"):
        parts[OPERATORS if table in OF_2017 else LPN].append(_experiments(artifacts, table))
    return {
        "run": config["run"],
        "label": config["label"],
        "command": f"snakemake --cores 2 --configfile {files}" if files else "snakemake --cores 2",
        "papers": [{"title": title, "parts": found} for title, found in parts.items() if found],
        "models": [_model(name, model) for name, model in plan.models.items()],
        "certificates": {name: _inside(plan.layout, plan.layout.certificate(name)) for name in plan.certifiable},
    }


def _inside(layout: Layout, path: Path) -> str:
    """Return a path from the folder of the run."""
    return path.relative_to(layout.out).as_posix()


def _learned(experiment: Mapping[str, Any]) -> dict[str, str]:
    """Return the models of an experiment's methods, by their titles."""
    return {method["title"]: model for method in experiment["methods"].values() if (model := learned_model(method))}


def _figures(artifacts: Artifacts, section: str, name: str) -> list[dict[str, str]]:
    """Return the figures of a curve, a prior or an experiment, with their captions."""
    own = {figure: a for figure, a in artifacts.figures.items() if (a.section, a.name) == (section, name)}
    return [{"name": figure, "caption": artifact.caption} for figure, artifact in own.items()]


def _evaluations(artifacts: Artifacts) -> list[dict[str, Any]]:
    """Return the parts that no experiment is in: curves, priors, and the tables of the whole run."""
    parts = []
    for section, words in (("curves", "Scalar networks"), ("priors", "Learned priors")):
        for name in artifacts.config[section]:
            tables = [name] if name in artifacts.tables else []
            figures = _figures(artifacts, section, name)
            parts.append({"title": f"{words}: {name}", "tables": tables, "figures": figures})
    for name, artifact in artifacts.tables.items():
        if artifact.section == "run":
            parts.append({"title": RUN_TABLES[name], "tables": [name]})
    return parts


def _experiments(artifacts: Artifacts, table: str) -> dict[str, Any]:
    """Return the part of a table: its experiments' figures, and how their methods' parameters were set."""
    plan = artifacts.plan
    members = [name for name, experiment in plan.experiments.items() if experiment["table"] == table]
    return {
        "title": f"Inverse problems: {table}",
        "tables": [table],
        "figures": list(itertools.chain.from_iterable(_figures(artifacts, "experiments", name) for name in members)),
        "choices": [_choice(plan, name, method) for name in members for method in plan.experiments[name]["methods"]],
        "learned": {plan.experiments[name]["title"]: _learned(plan.experiments[name]) for name in members},
    }


def _choice(plan: Plan, name: str, method: str) -> dict[str, Any]:
    """Return how the parameters of a method were set."""
    experiment = plan.experiments[name]
    settings = experiment["methods"][method]
    tune = settings["tune"] or {}
    fixed = _flat({key: value for key, value in settings.items() if key not in ("title", "tune")})
    choice = {
        "experiment": experiment["title"],
        "method": settings["title"],
        "fixed": {key: value for key, value in fixed.items() if key not in tune},
    }
    if not tune:
        return choice
    search = {"grid": tune, "images": experiment["tuning"]["images"]}
    return choice | search | {"chosen": _inside(plan.layout, plan.layout.chosen(name, method))}


def _flat(settings: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Return settings by their paths, those that are null or off left out."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{place}{key}.")
        elif value is not None and value is not False:
            found[f"{place}{key}"] = value
    return found


def _model(name: str, model: Mapping[str, Any]) -> dict[str, str]:
    """Return the network, the data and the schedule of a model in words."""
    network = dict(model["network"])
    title = network.pop("name")
    noise = model["sigma"] or (model.get("pairs") or {}).get("noise", "")  # that of images, or of measurements
    row = {"model": name, "network": f"{title} ({_words(_flat(network))})", "data": model["data"], "noise": f"{noise}"}
    if "source" in model:
        return row | {"schedule": f"trained before: {model['source']}"}
    phases = [
        f"{phase['loss']['name']}: {phase['steps']} steps, rate {phase['lr']:g}"
        + (f" to {phase['final_lr']:g}" if phase.get("final_lr") else "")
        for phase in model["phases"]
    ]
    return row | {"schedule": "; ".join(phases) + f"; batch {model['batch_size']}, {model['precision']}"}


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("files", nargs="+", type=Path, help="configuration files of the run")
    arguments.add_argument("--output", required=True, type=Path, help="JSON file to write")
    args = arguments.parse_args()
    resolved = resolve(args.files, {})
    config = resolved["config"]
    plan = Plan(config, resolved["facts"], Layout(config["run"], Path(config["folder"])))
    replace_text(args.output, canonical(page(Artifacts(plan), args.files)))


if __name__ == "__main__":
    main()
