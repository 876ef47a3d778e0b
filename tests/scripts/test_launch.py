"""GPU jobs queue for devices; the devices are made up."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

GPUS = ["GPU-aaaa", "GPU-bbbb"]
JOB = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
devices = os.environ["CUDA_VISIBLE_DEVICES"]
for device in filter(None, devices.split(",")):
    (folder / device).touch(exist_ok=False)  # fails where another job has the device
(folder / f"seen-{os.getpid()}").write_text(devices)
assert "GPU-" not in devices or os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
time.sleep(float(sys.argv[2]))
for device in filter(None, devices.split(",")):
    (folder / device).unlink()
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with a job's script and an nvidia-smi that lists two GPUs."""
    (tmp_path / "job.py").write_text(JOB)
    listing = "\n".join(f"GPU {i}: A Model (UUID: {name})" for i, name in enumerate(GPUS))
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\necho '{listing}'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    return tmp_path


def start(machine: Path, gpus: int, seconds: float = 0, **environment: str) -> subprocess.Popen:
    """Start a job that asks for some GPUs."""
    path = f"{machine}{os.pathsep}{os.environ['PATH']}"
    variables = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    script = [str(ROOT / "scripts/launch.py"), "--gpus", str(gpus), str(machine / "job.py"), str(machine), str(seconds)]
    environment = variables | {"PATH": path, "TMPDIR": str(machine)} | environment
    with (machine / "stderr").open("a") as errors:
        return subprocess.Popen([sys.executable, *script], env=environment, stderr=errors)


def seen(machine: Path) -> list[str]:
    """Return what the jobs so far saw, sorted."""
    return sorted(path.read_text() for path in machine.glob("seen-*"))


def test_jobs_queue_for_gpus(machine: Path) -> None:
    jobs = [start(machine, gpus, 0.3) for gpus in (1, 2, 1, 2, 1)]
    assert [job.wait(60) for job in jobs] == [0] * 5  # none found a device taken
    assert sorted(len(names.split(",")) for names in seen(machine)) == [1, 1, 1, 2, 2]


def test_a_killed_job_gives_its_gpus_back(machine: Path) -> None:
    killed = start(machine, 2, 600)
    while not seen(machine):
        time.sleep(0.05)
    waiting = start(machine, 1)
    killed.kill()
    killed.wait()
    for gpu in GPUS:
        (machine / gpu).unlink()
    assert waiting.wait(60) == 0


def test_jobs_see_what_they_ask_for(machine: Path) -> None:
    assert start(machine, 0).wait(60) == 0
    assert start(machine, 1, CUDA_VISIBLE_DEVICES="1").wait(60) == 0
    assert seen(machine) == ["", "GPU-bbbb"]
    assert start(machine, 3).wait(60) == 1
    assert "error: 3 GPUs are asked for (resource 'gpu'), but there are 2" in (machine / "stderr").read_text()


def test_jobs_without_gpus_do_not_queue(machine: Path) -> None:
    running = start(machine, 2, 600)
    while not seen(machine):
        time.sleep(0.05)
    waiting = start(machine, 1)
    time.sleep(1)  # until it collects
    assert start(machine, 0).wait(60) == 0
    assert waiting.poll() is None
    for job in (waiting, running):
        job.kill()
        job.wait()


def test_split_and_whole_gpus_are_all_used(machine: Path) -> None:
    """Of a split GPU its parts, of another one itself."""
    parts = "\n".join(f"  MIG 3g.40gb Device {i}: (UUID: MIG-{name})" for i, name in enumerate(("cccc", "dddd")))
    listing = f"GPU 0: A Model (UUID: GPU-aaaa)\n{parts}\nGPU 1: A Model (UUID: GPU-bbbb)"
    (machine / "nvidia-smi").write_text(f"#!/bin/sh\necho '{listing}'\n")
    assert start(machine, 3).wait(60) == 0
    assert sorted(seen(machine)[0].split(",")) == ["GPU-bbbb", "MIG-cccc", "MIG-dddd"]


@pytest.mark.parametrize(
    ("allotted", "number", "seen_by_job"),
    [
        ("1", 1, "GPU-bbbb"),  # nvidia-smi's number of a whole GPU, not the second part of the other one
        ("0", 2, "MIG-cccc,MIG-dddd"),
        ("GPU-bb, MIG-d", 2, "GPU-bbbb,MIG-dddd"),  # beginnings are enough
        ("1,1", 1, "GPU-bbbb"),
        ("7", 1, "7"),  # of a machine that shows only a part of its GPUs
    ],
)
def test_allotted_gpus_of_a_split_machine(machine: Path, allotted: str, number: int, seen_by_job: str) -> None:
    parts = "\n".join(f"  MIG 3g.40gb Device {i}: (UUID: MIG-{name})" for i, name in enumerate(("cccc", "dddd")))
    listing = f"GPU 0: A Model (UUID: GPU-aaaa)\n{parts}\nGPU 1: Another (UUID: GPU-bbbb)"
    (machine / "nvidia-smi").write_text(f"#!/bin/sh\necho '{listing}'\n")
    assert start(machine, number, CUDA_VISIBLE_DEVICES=allotted).wait(60) == 0
    assert seen(machine) == [seen_by_job]
    assert start(machine, number + 1, CUDA_VISIBLE_DEVICES=allotted).wait(60) == 1  # more than there are


def test_without_gpus_jobs_run_on_the_cpu(machine: Path) -> None:
    (machine / "nvidia-smi").unlink()
    assert start(machine, 1, CUDA_VISIBLE_DEVICES="untouched").wait(60) == 0
    assert seen(machine) == ["untouched"]
