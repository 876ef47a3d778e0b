import os
import re
import shlex
import sys
from pathlib import Path

ROOT = Path(workflow.basedir).parent
sys.path[:0] = [str(workflow.basedir), str(ROOT)]
os.environ.update(PYTHONPATH=str(ROOT))  # jobs find the package in any environment

from artifacts import Artifacts
from configuration import resolve
from fingerprint import fingerprint
from layout import Layout, canonical
from plan import Plan, data_option, option, per_attempt
from versions import note_of_other_versions

RESOLVED = resolve(
    workflow.config_settings.configfiles or [ROOT / "config/paper.yaml"],
    workflow.config_settings.config,
)
config.clear()
config.update(RESOLVED["config"])
LAYOUT = Layout(config["run"], Path(os.environ.get("LPN_DATA", config["folder"])))
PLAN = Plan(config, RESOLVED["facts"], LAYOUT)
ARTIFACTS = Artifacts(PLAN)
OUT, LOGS = LAYOUT.out, LAYOUT.logs

if note := note_of_other_versions(LOGS):
    logger.info(note)


wildcard_constraints:
    prepared="|".join(map(re.escape, PLAN.prepared)) or "none",
    model="|".join(map(re.escape, PLAN.models)) or "none",
    curves="|".join(map(re.escape, config["curves"])) or "none",
    priors="|".join(map(re.escape, config["priors"])) or "none",
    perturbation="gaussian|blur|convex",
    experiment="|".join(map(re.escape, PLAN.experiments)) or "none",
    method="|".join(map(re.escape, PLAN.methods)) or "none",
    figure="|".join(map(re.escape, ARTIFACTS.figures)) or "none",
    table="|".join(map(re.escape, ARTIFACTS.tables)) or "none",
    split="validation|test",
    part=r"\d+",
    row=r"\d+",
