"""Run a script on leased GPUs: wait until enough are free, and show it these alone.

Every GPU has a lock file, held as long as the script runs, however it ends. A job that asks for no GPU sees none. On a
machine without NVIDIA GPUs the script runs on the CPU. If a cluster allots GPUs (CUDA_VISIBLE_DEVICES), only these are used.

examples:
  python scripts/launch.py --gpus 1 scripts/prior.py --spec spec.yaml --model model.pt ...
  python scripts/launch.py --gpus 4 --processes 4 scripts/train.py --spec spec.yaml ...   # torchrun, one process a GPU
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from _cli import parser

from lpn.errors import UserError, run_cli
from lpn.files import try_lock, wait_for_lock


def visible_gpus() -> list[str]:
    """Return the UUIDs of the GPUs that this process may use; of a GPU that is split (MIG), those of its parts.

    CUDA_VISIBLE_DEVICES has UUIDs, beginnings of UUIDs, or numbers, which are those of nvidia-smi.
    """
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(
        ["nvidia-smi", "-L"], check=False, capture_output=True, encoding="utf-8", errors="replace"
    ).stdout
    gpus: dict[str, list[str]] = {}
    for number, block in re.findall(
        r"^GPU (\d+): (.*(?:\n\s.*)*)", listed, flags=re.MULTILINE
    ):  # with the lines of its parts
        gpus[number] = re.findall(r"UUID: (MIG-[\w/-]+)", block) or re.findall(r"UUID: (GPU-[\w-]+)", block)
    all_gpus = [gpu for parts in gpus.values() for gpu in parts]
    allotted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allotted is None:
        return all_gpus
    names = dict.fromkeys(filter(None, map(str.strip, allotted.split(","))))
    return [gpu for name in names for gpu in gpus.get(name) or [gpu for gpu in all_gpus if gpu.startswith(name)] or [name]]


def lease(number: int, gpus: list[str], folder: Path) -> dict[str, IO[str]]:
    """Wait until `number` of the GPUs are free and return them with their locks, which the process passes on to `exec`.

    One job collects at a time: two jobs that held one of two GPUs each would wait for each other forever.
    """
    held: dict[str, IO[str]] = {}
    if not number:
        return held
    with wait_for_lock(folder / "turn"):
        while True:
            for gpu in gpus:
                if len(held) < number and gpu not in held and (lock := try_lock(folder / gpu)) is not None:
                    os.set_inheritable(lock.fileno(), True)
                    held[gpu] = lock
            if len(held) == number:
                return held
            time.sleep(0.2)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--gpus", type=int, required=True, help="number of GPUs that the script may use")
    arguments.add_argument("--processes", type=int, default=1, help="start so many under torchrun (default: 1, without it)")
    arguments.add_argument("command", nargs=argparse.REMAINDER, help="the script and its arguments")
    args = arguments.parse_args()
    gpus, number = visible_gpus(), args.gpus
    if gpus:
        if number > len(gpus):
            raise UserError(f"{number} GPUs are asked for (resource 'gpu'), but there are {len(gpus)}. Ask for fewer.")
        locks = lease(number, gpus, Path(tempfile.gettempdir()) / f"lpn-gpus-{os.getuid()}")
        os.environ.update(CUDA_VISIBLE_DEVICES=",".join(locks), CUDA_DEVICE_ORDER="PCI_BUS_ID")  # as nvidia-smi numbers them
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(args.processes)]
    os.execv(sys.executable, [sys.executable, *(torchrun if args.processes > 1 else []), *args.command])


if __name__ == "__main__":
    run_cli(main)
