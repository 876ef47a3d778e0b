import platform
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"

FAULTS = """
import resource, sys, torch
from lpn.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def work():
    for _ in range(10):
        torch.ones(2**24).add_(1)
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is set")
def test_freed_memory_is_not_mapped_again() -> None:
    def faults(mode: str) -> int:
        return int(subprocess.run([sys.executable, "-c", FAULTS, mode], check=True, capture_output=True, text=True).stdout)

    assert faults("keep") < 1000 < faults("default")


SUBNORMAL = """
import torch
from _cli import setup_compute
setup_compute(threads=2, device="cpu")
tiny = torch.full((2**24,), 1e-20)
print((tiny * tiny).count_nonzero().item(), torch.get_num_threads())
"""


def test_subnormal_numbers_are_zero_in_every_thread_of_a_job() -> None:
    run = subprocess.run([sys.executable, "-c", SUBNORMAL], cwd=SCRIPTS, check=True, capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == "0 2"
