"""Write the page of all settings (Markdown) and the JSON schema of configurations, from the classes of the settings.

example:
  python workflow/document.py docs     # docs/settings.md and docs/config.schema.json
"""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import schema

from lpn.certificate import CertificateSettings
from lpn.experiment import Method
from lpn.files import write_text
from lpn.settings import Settings, component, describe, names
from lpn.training.settings import Logging, Phase

HEADER = """# All settings

`make docs-settings` generates this page from the classes that the program itself uses.
[configuration.md](configuration.md) explains how a configuration works. Editors check a configuration while you write it if
its first line is `# yaml-language-server: $schema=../docs/config.schema.json`."""
SECTIONS: dict[str, type[Settings]] = {
    "A run": schema.Config,
    "`models.<name>`": schema.Model,
    "`phases` of a model": Phase,
    "`logging` of a model": Logging,
    "`models.<name>` with a `source`": schema.Imported,
    "`curves.<name>`": schema.Curves,
    "`grid` of curves": schema.Grid,
    "`priors.<name>`": schema.Priors,
    "`inversion` of priors": schema.Inversion,
    "`perturbations` of priors": schema.Perturbation,
    "`certificate`": CertificateSettings,
    "`experiments.<name>`": schema.Experiment,
    "`tuning` of an experiment": schema.Tuning,
    "`methods.<name>`": Method,
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
    """Write both files into a folder."""
    write_text(folder / "settings.md", page())
    write_text(folder / "config.schema.json", json.dumps(file_schema(), sort_keys=True) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
