import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.current_basedir).parent.parent
if set("{}") & set(str(ROOT)):
    raise WorkflowError(f"Snakemake takes braces in paths as wildcards. Rename the folder {ROOT}.")
SOURCE = Path(os.path.relpath(ROOT))  # from where jobs run: in a project that was moved, nothing runs again
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT)]
os.environ.update(  # jobs run this Python, find the package, and write UTF-8
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]), PYTHONPATH=str(ROOT), PYTHONUTF8="1"
)
SCRIPTS = shlex.quote(str(SOURCE / "scripts"))
PYTHON = f"python {SCRIPTS}/"
LAUNCH = f"python {SCRIPTS}/launch.py --gpus {{resources.gpu}} {SCRIPTS}/"

from artifacts import Artifacts
from configuration import resolve
from fingerprint import fingerprint
from layout import Layout, canonical
from page import page
from plan import Plan, data_option, folder_option, option, per_attempt
from versions import note_of_other_versions

RESOLVED = resolve(
    workflow.config_settings.configfiles or [ROOT / "config/paper.yaml"],
    workflow.config_settings.config,
)
config.clear()
config.update(RESOLVED["config"])
LAYOUT = Layout(config["run"], Path(config["folder"]))
PLAN = Plan(config, RESOLVED["facts"], LAYOUT)
ARTIFACTS = Artifacts(PLAN)
OUT, LOGS = LAYOUT.out, LAYOUT.logs

if note := note_of_other_versions(LOGS):
    logger.info(note)


wildcard_constraints:
    prepared="|".join(map(re.escape, PLAN.prepared)) or "none",
    pairs="|".join(map(re.escape, PLAN.pairs)) or "none",
    model="|".join(map(re.escape, PLAN.models)) or "none",
    curves="|".join(map(re.escape, config["curves"])) or "none",
    priors="|".join(map(re.escape, config["priors"])) or "none",
    perturbation="|".join(
        dict.fromkeys(kind for priors in config["priors"].values() for kind in priors["perturbations"])
    )
    or "none",
    experiment="|".join(map(re.escape, PLAN.experiments)) or "none",
    method="|".join(map(re.escape, PLAN.methods)) or "none",
    figure="|".join(map(re.escape, ARTIFACTS.figures)) or "none",
    table="|".join(map(re.escape, ARTIFACTS.tables)) or "none",
    split="validation|test",
    part=r"\d+",
    grid=r"[-+.e_\d]+",
