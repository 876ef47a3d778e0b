"""A one-node Slurm on this machine runs the workflow: killed jobs and jobs out of time go on from their checkpoints.

It needs root and the packages that `make test-slurm` installs. Run it by that command; otherwise it is skipped.
"""

import copy
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lpn.data.laplace import Laplace
from lpn.networks import build_network
from lpn.training.batches import noisy_batches
from lpn.training.schedule import make_schedule
from lpn.training.settings import Phase
from lpn.training.trainer import Trainer

from .conftest import LAPLACIAN, TINY, Project, kill_tree

CONFIGURATION = Path("/etc/slurm")  # Slurm does not pass SLURM_CONF on to its jobs
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch")

pytestmark = pytest.mark.skipif(
    "LPN_SLURM" not in os.environ, reason="runs as part of 'make test-slurm', which installs Slurm's packages"
)


def slurm_conf(folder: Path) -> str:
    """Return the configuration of one node, this machine, with two pretended GPUs."""
    name = socket.gethostname()
    return f"""
ClusterName=test
SlurmctldHost={name}(127.0.0.1)
SlurmUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ReturnToService=2
GresTypes=gpu
NodeName={name} NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.5)


def output(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[None]:
    """Run Slurm on this machine, and stop it after the test."""
    missing = [name for name in NEEDED if not shutil.which(name)]
    assert not missing, f"not installed: {', '.join(missing)}"
    assert not (CONFIGURATION / "slurm.conf").exists(), f"this machine has a Slurm: {CONFIGURATION / 'slurm.conf'}"
    folder = tmp_path / "slurm"
    for part in ("state", "spool"):
        (folder / part).mkdir(parents=True)
    CONFIGURATION.mkdir(exist_ok=True)
    files = {
        "slurm.conf": slurm_conf(folder),
        "gres.conf": f"NodeName={socket.gethostname()} Name=gpu File={folder}/gpu[0-1]\n",
    }
    for i in range(2):
        (folder / f"gpu{i}").touch()
    daemons = []
    try:
        for name, text in files.items():
            (CONFIGURATION / name).write_text(text)
        if subprocess.run(["munge", "--no-input"], check=False, capture_output=True).returncode:
            Path("/run/munge").mkdir(mode=0o755, exist_ok=True)
            daemons.append(subprocess.Popen(["munged", "--foreground", "--force"], stderr=subprocess.DEVNULL))
        daemons.append(subprocess.Popen(["slurmctld", "-D"], stderr=subprocess.DEVNULL))
        daemons.append(subprocess.Popen(["slurmd", "-D"], stderr=subprocess.DEVNULL))
        wait_until(lambda: "idle" in output("sinfo", "--noheader", "--format=%T"), 30)
        try:
            yield
        finally:
            subprocess.run(["scancel", "--full", "--signal=KILL", "--user=root"], check=False)
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for name in files:
            (CONFIGURATION / name).unlink(missing_ok=True)


def steps_in(seconds: float) -> int:
    """Return how many steps of the test's network this machine takes in some seconds of processor time.

    By the clock, a machine that is busy now and idle later would take them in too short a time to be overdue.
    """
    stages = make_schedule([Phase.model_validate({"loss": "l2", "steps": 10**6, "lr": 1e-3})], 1)
    trainer = Trainer(build_network(LAPLACIAN["network"]), noisy_batches(Laplace().batches(100, 1), 1.0, 1), stages)
    start = time.thread_time()
    while time.thread_time() - start < 2:
        trainer.step()
    return int(trainer.step_count * seconds / 2)


def slurm_job(model: str) -> str | None:
    """Return the number of the job that trains a model now, if one does."""
    jobs = re.findall(
        rf"^(\d+) .*train.*{model}", output("squeue", "--noheader", "--states=R", "--format=%i %k"), re.MULTILINE
    )
    return jobs[0] if jobs else None


def progress(log: Path) -> bool:
    """Return whether the log of a training shows a step."""
    return log.exists() and re.search(r" [1-9]\d*/\d+ \[", log.read_text()) is not None


@pytest.mark.timeout(2400)
def test_killed_and_overdue_jobs_go_on(slurm: None, project: Project) -> None:
    config = copy.deepcopy(TINY)
    logging = {"logging": {"every": 50}}
    config["models"]["laplacian_l2"] |= logging | {"phases": [{"loss": "l2", "steps": steps_in(110), "lr": 1e-3}]}
    config["models"]["laplacian_pm"] = LAPLACIAN | logging | {"phases": [{"loss": "l1", "steps": steps_in(30), "lr": 1e-3}]}
    project.write_config(config)
    profile = ["--workflow-profile", "workflow/profiles/slurm", "--default-resources", "slurm_partition=main"]
    quick = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"]  # no accounting here
    command = ["snakemake", *profile, *quick, "--set-resources", "train:runtime=attempt"]
    log = project.folder / "logs/tiny/train/laplacian_pm.log"
    with (project.folder / "run.log").open("w") as run_log:
        run = subprocess.Popen(command, cwd=project.folder, env=project.environment(), stdout=run_log, stderr=run_log)
        try:
            wait_until(lambda: run.poll() is not None or progress(log), 400)
            job = slurm_job("laplacian_pm")
            assert job, "the training does not run"
            subprocess.run(["scancel", job], check=True)
            assert run.wait(1800) == 0, (project.folder / "run.log").read_text()[-5000:]
        finally:
            if run.poll() is None:
                kill_tree(run)
    results = project.folder / "results/tiny"
    for name in ("figures/laplacian_compact.pdf", "tables/laplacian.csv", "tables/mnist.csv", "tables/deblurring.csv"):
        assert (results / name).stat().st_size > 100, name
    for model in ("laplacian_pm", "laplacian_l2"):
        assert (results / "models" / model / "model.pt").exists()
        assert (results / "certificates" / f"{model}.json").exists()
        assert re.search(r"going on from step [1-9]", (project.folder / f"logs/tiny/train/{model}.log").read_text()), model
    assert "Time limit exhausted" in (project.folder / "slurm/slurmctld.log").read_text()
    assert "Nothing to be done" in project.snakemake().stderr
