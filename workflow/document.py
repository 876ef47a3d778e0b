"""Write the page of all settings (Markdown), the JSON schema of configurations, and the page of published values.

example:
  python workflow/document.py docs     # docs/settings.md, docs/config.schema.json and docs/published.md
"""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import schema
from configuration import ROOT, read_yaml

from lpn.certificate import CertificateSettings
from lpn.experiment import Method
from lpn.files import write_text
from lpn.published import Published, Quality
from lpn.regularisers import LearnedRegulariser
from lpn.settings import Settings, component, describe, names
from lpn.training.settings import Logging, Pairs, Phase

HEADER = """# All settings

`make docs-settings` generates this page from the classes that the program itself uses.
[configuration.md](configuration.md) explains how a configuration works. Editors check a configuration while you write it if
its first line is `# yaml-language-server: $schema=docs/config.schema.json`.
The path starts at the configuration file."""
PUBLISHED = """# Published values

`make docs-settings` generates this page from `config/published.yaml`. The tables of a run show these values beside ours:
those of figures in `published.csv`, all others in the table of the experiment. An image quality is the mean over images."""
SECTIONS: dict[str, type[Settings]] = {
    "A run": schema.Config,
    "`models.<name>`": schema.Model,
    "`phases` of a model": Phase,
    "`pairs` of a model": Pairs,
    "`logging` of a model": Logging,
    "`models.<name>` with a `source`": schema.Imported,
    "`curves.<name>`": schema.Curves,
    "`grid` of curves": schema.Grid,
    "`priors.<name>`": schema.Priors,
    "`inversion` of priors": schema.Inversion,
    "`perturbations` of priors": schema.Perturbation,
    "`repeated` of priors": schema.Repeated,
    "`certificate`": CertificateSettings,
    "`experiments.<name>`": schema.Experiment,
    "`tuning` of an experiment": schema.Tuning,
    "`methods.<name>`": Method,
    "`regulariser` of a method": LearnedRegulariser,
}
PLACES = {
    "operator": "`operator` of an experiment",
    "prox": "`prox` of a method",
    "solver": "`solver` of a method",
    "network": "`network` of a model",
    "loss": "`loss` of a phase",
    "augment": "`augment` of a model",
    "dataset": "`data.<name>`",
}
INHERIT = ("Model", "Imported", "Method", "Curves", "Priors", "Experiment")  # by `like`
LIKE = {"type": "string", "description": "name of a definition that this one is laid over"}


def page() -> str:
    """Return the page of all settings."""
    parts = [HEADER]
    for title, settings in SECTIONS.items():
        parts += [f"## {title}", inspect.getdoc(settings) or "", describe(settings, "- ")]
    for kind, place in PLACES.items():
        parts.append(f"## {place}")
        for name in names(kind):
            settings = component(kind, name)
            parts += [f"### `{name}`", inspect.getdoc(settings) or "", describe(settings, "- ")]
    return "\n\n".join(part for part in parts if part) + "\n"


def published_page() -> str:
    """Return the page of published values: those of figures, then a section for each problem."""
    raw = read_yaml(ROOT / "config/published.yaml")
    published = Published.model_validate(raw)
    values = [[value.describes, value.words, value.source] for value in published.values]
    parts = [PUBLISHED, "## Values of figures", _table(["quantity", "published", "source"], values)]
    for name, problem in raw["problems"].items():
        operator = "".join(f", {key} {value}" for key, value in problem["operator"].items() if key != "name")
        rows = [
            [method, *_quality(quality), result.data, result.images, result.source]
            for result in published.results
            for method, quality in result.psnr_ssim.get(name, {}).items()
        ]
        parts += [f"## `{name}`", f"Operator `{problem['operator']['name']}`{operator}; noise {problem['noise']}."]
        parts.append(_table(["method", "PSNR (dB)", "SSIM", "data", "images", "source"], rows))
    return "\n\n".join(parts) + "\n"


def _quality(quality: Quality) -> list[str]:
    """Return PSNR and SSIM, each with its standard deviation if that is published."""
    pairs = [(quality.get("psnr_mean"), quality.get("psnr_std")), (quality.get("ssim_mean"), quality.get("ssim_std"))]
    return ["" if mean is None else f"{mean}" if std is None else f"{mean} ± {std}" for mean, std in pairs]


def _table(columns: list[str], rows: list[list[Any]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def file_schema() -> dict[str, Any]:
    """Return the JSON schema of a file: that of complete configurations, but parts may be inherited or in other files."""
    whole = _optional(schema.Config.model_json_schema())
    definitions = whole["$defs"]
    for name in INHERIT:
        definitions[name]["properties"]["like"] = LIKE
    for dataset in whole["properties"]["data"]["patternProperties"].values():
        for option in dataset["anyOf"]:
            option.get("properties", {})["like"] = LIKE
    changed = {"type": "object", "maxProperties": 1, "additionalProperties": {"$ref": "#/$defs/Method"}}
    methods = definitions["Experiment"]["properties"]["methods"]
    items = {"anyOf": [{"type": "string"}, changed]}
    definitions["Experiment"]["properties"]["methods"] = {
        "description": methods["description"],
        "type": "array",
        "items": items,
    }
    return whole


def _optional(part: Any) -> Any:
    """Return a schema in which no key is needed."""
    if isinstance(part, dict):
        return {key: _optional(value) for key, value in part.items() if key != "required" or not isinstance(value, list)}
    return [_optional(value) for value in part] if isinstance(part, list) else part


def write(folder: Path) -> None:
    """Write all files into a folder."""
    write_text(folder / "settings.md", page())
    write_text(folder / "published.md", published_page())
    write_text(folder / "config.schema.json", json.dumps(file_schema(), sort_keys=True) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
