"""The command line of training: resume, logs, errors."""

import csv
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SCALAR_TRAINING, train_command

from lpn.checkpoints import load_model, read_checkpoint
from lpn.files import try_lock


def train(folder: Path, spec: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*train_command(folder, spec), *options], check=False, capture_output=True, text=True)


def iteration(folder: Path) -> int:
    """Return the step of the newest state in a folder, 0 if there is none."""
    steps = [0]
    for path in folder.glob("*.pt"):
        try:
            steps.append(torch.load(path, weights_only=True)["iteration"])
        except FileNotFoundError:  # for a moment while a new one replaces it
            continue
    return max(steps)


def kill_after_a_step(folder: Path, spec: dict[str, Any], number: signal.Signals, processes: int = 1) -> None:
    """Start a training, and end it once its state is newer."""
    checkpoints = folder / "checkpoints"
    done = iteration(checkpoints)
    with subprocess.Popen(
        train_command(folder, spec, processes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        while iteration(checkpoints) == done and run.poll() is None:
            time.sleep(0.05)
        run.send_signal(number)
    assert done < iteration(checkpoints) < sum(phase["steps"] for phase in spec["phases"])
    assert not (folder / "model.pt").exists()


def test_killed_job_resumes_to_the_same_model(tmp_path: Path) -> None:
    assert train(tmp_path / "whole", SCALAR_TRAINING).returncode == 0
    kill_after_a_step(tmp_path / "killed", SCALAR_TRAINING, signal.SIGKILL)
    run = train(tmp_path / "killed", SCALAR_TRAINING)
    assert "going on from step" in run.stdout
    models = [torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "killed")]
    assert models[0]["iteration"] == models[1]["iteration"] == 1000
    for name, value in models[0]["model_state_dict"].items():
        assert torch.equal(value, models[1]["model_state_dict"][name]), name
    logs = [(tmp_path / name / "training.csv").read_bytes() for name in ("whole", "killed")]
    assert logs[0] == logs[1]
    assert len(list(csv.reader(logs[0].decode().splitlines()))) == 21


# at ten times this rate rounding errors may grow to .05 over the steps, as in any chaotic system; here they don't
SHARED = SCALAR_TRAINING | {"phases": [{"loss": "l1", "steps": 2000, "lr": 1e-4}]}


def test_any_number_of_processes_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """Two processes, SIGTERM, one, SIGTERM, two again: the same log and prox as one, to rounding errors."""
    assert train(tmp_path / "whole", SHARED).returncode == 0
    for processes in (2, 1):
        kill_after_a_step(tmp_path / "parts", SHARED, signal.SIGTERM, processes)
    subprocess.run(train_command(tmp_path / "parts", SHARED, 2), check=True, capture_output=True)
    models = [load_model(tmp_path / name / "model.pt") for name in ("whole", "parts")]
    x = torch.linspace(-3, 3, 50)[:, None]
    torch.testing.assert_close(models[1](x), models[0](x), rtol=0, atol=1e-5)
    assert read_checkpoint(tmp_path / "parts/model.pt")["iteration"] == 2000
    logs = [np.genfromtxt(tmp_path / name / "training.csv", delimiter=",", names=True) for name in ("whole", "parts")]
    np.testing.assert_allclose(logs[1]["loss"], logs[0]["loss"], rtol=1e-6)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_stopped_training_saves_its_state(tmp_path: Path, processes: int, number: signal.Signals) -> None:
    """A terminal sends its signals to all processes at once. The next save would be much later."""
    before = signal.signal(number, signal.default_int_handler)  # whatever the tests run under
    spec = SHARED | {"phases": [{"loss": "l1", "steps": 10**6, "lr": 1e-4}]}
    command = [*train_command(tmp_path, spec, processes), "--save-seconds", "2"]
    with (tmp_path / "log").open("w") as log:
        run = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    signal.signal(number, before)
    while not (done := iteration(tmp_path / "checkpoints")) and run.poll() is None:
        time.sleep(0.05)
    os.killpg(run.pid, number)
    assert run.wait(60) == (128 + number if processes == 1 else 1), (tmp_path / "log").read_text()
    assert iteration(tmp_path / "checkpoints") > done > 0


IMAGES = {
    "network": {"name": "lpn_28", "hidden": 2},
    "sigma": 0.1,
    "seed": 0,
    "batch_size": 2,
    "precision": "bf16",
    "phases": [
        {"loss": "l1", "steps": 2, "lr": 1e-3},
        {"loss": {"name": "proximal_matching", "gamma": [0.4, 0.2]}, "steps": 2, "lr": 1e-3},
    ],
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of prepared images of noise."""
    for split in ("train", "validation"):
        np.save(tmp_path / f"{split}.npy", np.random.default_rng(0).integers(0, 256, (4, 1, 28, 28)).astype(np.uint8))
    return tmp_path


def test_other_images_train_a_new_model(run: Callable[..., None], images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = []
    for seed in (0, 1):
        np.save(images / "train.npy", np.random.default_rng(seed).integers(0, 256, (4, 1, 28, 28)).astype(np.uint8))
        run("train", "--spec", IMAGES, "--data", images, "--output", images / "model.pt")
        assert "going on" not in capsys.readouterr().out
        models.append((images / "model.pt").read_bytes())
    assert models[0] != models[1]
    assert len(list((images / "checkpoints").glob("*.pt"))) == 2  # the first one's state is still there


def test_what_is_written(run: Callable[..., None], images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logging = {"every": 3, "validate_every": 1, "validation_images": 3}
    run("train", "--spec", IMAGES, "--data", images, "--output", images / "out/model.pt", "--logging", logging)
    output = capsys.readouterr().out
    assert "machine: " in output
    record = json.loads(output.splitlines()[-1].removeprefix("record: "))
    assert record["packages"]["torch"] == torch.__version__
    assert str(images / "out/model.pt") in record["files"]
    assert json.loads((images / "out/model_config.json").read_text())["name"] == "lpn_28"
    made_with = json.loads((images / "out/made_with.json").read_text())
    assert made_with.keys() == {"precision", "torch", "numpy", "device"}
    assert (made_with["precision"] == "fp32") == ("computed in fp32" in output)
    rows = list(csv.DictReader((images / "out/training.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["gamma"] for row in rows] == ["", "", "11.200000000000001", "5.6000000000000005"]
    assert all(float(row["validation_psnr"]) > 0 for row in rows)


def test_logging_is_no_part_of_a_training(
    run: Callable[..., None], images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for every in (1, 2):
        run("train", "--spec", IMAGES, "--data", images, "--output", images / "model.pt", "--logging", {"every": every})
    assert "going on from step 4 of 4" in capsys.readouterr().out


def test_data_without_validation_images(run: Callable[..., None], images: Path) -> None:
    np.save(images / "validation.npy", np.zeros((0, 1, 28, 28), np.uint8))
    run("train", "--spec", IMAGES, "--data", images, "--output", images / "model.pt")
    assert "validation_psnr\n" not in (images / "training.csv").read_text().splitlines()[1]


def test_start_from_a_model(run: Callable[..., None], images: Path) -> None:
    run("train", "--spec", IMAGES, "--data", images, "--output", images / "first/model.pt")
    start = images / "first/model.pt"
    run("train", "--spec", IMAGES, "--data", images, "--init", start, "--output", images / "second/model.pt")
    assert read_checkpoint(images / "second/model.pt")["iteration"] == 8


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"dataset": "laplace"}, ["--data", "."], "give either 'dataset' in the settings, or --data"),
        ({}, [], "give either 'dataset' in the settings, or --data"),
        ({"dataset": "mnist"}, [], "dataset 'mnist' has prepared images"),
        ({"batch_size": 5, "crops": 2}, [], "batch_size, 5, is not a multiple of crops, 2"),
        ({"log_every": 2}, [], "unknown key 'log_every'"),
        ({"batch_size": 6}, ["--data", "."], "batch_size is 6.*only 4 images"),
        ({"network": "lpn_patch"}, ["--data", "."], "has channels 3, but the training images have 1"),
        ({}, ["--data", ".", "--device", "gpu"], "--device: device 'gpu' is unknown"),
        ({}, ["--data", ".", "--logging", '{"every": 0}'], "key 'every' is 0"),
        ({}, ["--data", "none"], "none/train.npy can't be read"),
    ],
    ids=str,
)
def test_settings_that_are_refused(
    refused: Callable[..., str],
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(images)
    error = refused("train", "--spec", IMAGES | changes, "--output", images / "model.pt", *options)
    assert re.search(message, error)


def test_two_processes_do_not_train_in_one_folder(refused: Callable[..., str], tmp_path: Path) -> None:
    lock = try_lock(tmp_path / "checkpoints/lock")
    assert lock is not None
    with lock:
        error = refused("train", "--spec", SCALAR_TRAINING, "--output", tmp_path / "model.pt")
    assert f"another process trains in {tmp_path / 'checkpoints'}" in error


def test_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    broken = SCALAR_TRAINING | {"phases": [{"loss": "l2", "steps": 100, "lr": 1e30}]}
    run = train(tmp_path, broken)
    assert run.returncode == 1
    assert "error: the loss became" in run.stderr
    assert "last good checkpoint was kept" in run.stderr
    assert "Traceback" not in run.stderr


def test_full_disk_is_one_paragraph_and_loses_nothing(tmp_path: Path) -> None:
    limit = "ulimit -f 4; trap '' XFSZ; exec \"$@\""  # no file may exceed 4 blocks: writing fails as on a full disk
    command = ["bash", "-c", limit, "bash", *train_command(tmp_path, SCALAR_TRAINING)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert f"error: no space left on the device while writing {tmp_path / 'checkpoints'}/" in run.stderr
    assert "Traceback" not in run.stderr
    assert [path.name for path in (tmp_path / "checkpoints").glob("*.pt")] == []
    assert train(tmp_path, SCALAR_TRAINING).returncode == 0
    assert (tmp_path / "model.pt").exists()
