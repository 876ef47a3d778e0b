"""Check a configuration, and print it complete, as JSON: with its defaults, its inherited settings and no unused definition.

examples:
  python workflow/check.py config/demo.yaml
  python workflow/check.py mine.yaml --set '{"run": "other"}'
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from checks import config_faults, missing_packages, used
from configuration import ROOT, SECTIONS, ConfigurationError, collect, expand
from fingerprint import own_files
from schema import Config, Experiment

from lpn.plug_ins import plug_in_fault
from lpn.settings import Component, as_file, files, parts, sentences


def complete(paths: list[Path], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"config": the complete configuration, "facts": what the plan must know, "files": the files it names}.

    Raises ConfigurationError with one sentence for each fault.
    """
    raw = expand(collect(paths, overrides))
    own = set(raw.pop("own"))
    try:
        raw["folder"] = as_file(os.environ.get("LPN_DATA") or raw.get("folder", "data"))
        os.environ["LPN_DATA"] = str(Path(str(raw["folder"])).absolute())  # so that settings may name $LPN_DATA/kernels/...
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigurationError(" ".join(_once(sentences(error)))) from error
    except ValueError as error:
        raise ConfigurationError(f"key 'folder' (or LPN_DATA): {error}.") from error
    run = used(config)
    if set("{}") & set(config.folder):
        raise ConfigurationError(f"key 'folder' is {config.folder}: Snakemake can't write to paths with braces. Rename it.")
    if faults := dict.fromkeys(config_faults(config, run, own, Path(os.environ["LPN_DATA"]))):
        raise ConfigurationError(" ".join(faults))
    if faults := list(missing_packages(config)):
        raise ConfigurationError(" ".join(faults))
    data = {name: config.dataset(name) for name in run["data"]}
    dump = config.model_dump(mode="json")
    for section in SECTIONS:
        dump[section] = {name: value for name, value in dump[section].items() if name in run[section]}
    dump["data"] = {name: dataset.model_dump(mode="json") for name, dataset in data.items()}
    named_plug_ins = {part.plug_in for part in parts(config) if isinstance(part, Component) and part.plug_in}
    plug_ins = {str(file) for file in own_files(*named_plug_ins)[0]}
    named = {file for name in run["models"] for file in files(config.models[name])}
    named |= {file for name in run["experiments"] for file in files(config.experiments[name])}
    named |= {file for dataset in data.values() for file in files(dataset)}
    facts = {
        "certifiable": [name for name in run["models"] if config.models[name].network.certified],
        "drawn": [name for name, dataset in data.items() if not dataset.prepared],
        "same_everywhere": [name for name, dataset in data.items() if dataset.same_everywhere],
        "rows": {
            name: {key: m.rows() for key, m in config.experiments[name].methods.items()} for name in run["experiments"]
        },
        "certified": {name: _certified(config, config.experiments[name]) for name in run["experiments"]},
        "named": sorted(named),
    }
    return {"config": dump, "facts": facts, "files": sorted(plug_ins | named)}


def _certified(config: Config, experiment: Experiment) -> dict[str, str]:
    """Return what the methods of an experiment are certified to be."""
    networks = {name: model.network for name, model in config.models.items()}
    return {name: method.certified(networks.get(method.model or "")) for name, method in experiment.methods.items()}


def _once(faults: list[str]) -> list[str]:
    """Return faults without those that experiments only inherit from `methods`."""
    shared = {re.sub(r"'experiments\.[^']*?\.methods\.", "'methods.", fault): fault for fault in reversed(faults)}
    return list(shared.values())[::-1]


def main() -> None:
    """Print the complete configuration, or one paragraph that names what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="configuration files (default: config/paper.yaml)")
    parser.add_argument(
        "--set", default="{}", type=json.loads, help="settings of the run that replace those of the files, JSON"
    )
    args = parser.parse_args()
    try:
        print(json.dumps(complete(args.files or [ROOT / "config/paper.yaml"], args.set)))
    except Exception as error:
        text = str(error) if isinstance(error, ConfigurationError) else plug_in_fault(error)
        if text is None:
            raise
        sys.exit(f"error in the configuration: {' '.join(text.split())} Every key is explained in docs/settings.md.")


if __name__ == "__main__":
    main()
