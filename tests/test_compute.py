import platform
import subprocess
import sys

import pytest
import torch

from lpn.compute import (
    M_MMAP_THRESHOLD,
    M_TRIM_THRESHOLD,
    describe_device,
    keep_freed_memory,
    setup_compute,
    use_bf16,
    use_precision,
)
from lpn.record import USED

FAULTS = """
import resource, sys, torch
from lpn.compute import keep_freed_memory
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
from lpn.compute import setup_compute
setup_compute(threads=2, device="cpu")
tiny = torch.full((2**24,), 1e-20)
print((tiny * tiny).count_nonzero().item(), torch.get_num_threads())
"""


def test_subnormal_numbers_are_zero_in_every_thread_of_a_job() -> None:
    run = subprocess.run([sys.executable, "-c", SUBNORMAL], check=True, capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == "0 2"


class OldLibrary:
    """A C library whose mallopt refuses thresholds above 32 MiB, as those before glibc 2.35, or all of them."""

    def __init__(self, limit: int) -> None:
        self.limit, self.set = limit, {}

    def mallopt(self, option: int, value: int) -> int:
        if value > self.limit:
            return 0
        self.set[option] = value
        return 1


@pytest.mark.parametrize(("limit", "expected"), [(2**25, {M_MMAP_THRESHOLD: 2**25, M_TRIM_THRESHOLD: -1}), (2**20, {})])
def test_thresholds_that_the_library_refuses(limit: int, expected: dict[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a trim threshold alone: it would keep the other one at 128 KiB."""
    library = OldLibrary(limit)
    monkeypatch.setattr("ctypes.CDLL", lambda name: library)
    keep_freed_memory()
    assert library.set == expected


def test_devices() -> None:
    for name in ("gpu", "mps", "meta", "cuda:64"):
        with pytest.raises(ValueError, match=f"device '{name}' is unknown; PyTorch finds here: cpu.*or auto"):
            setup_compute(1, name)
    device = setup_compute(1, "cpu")
    assert device == torch.device("cpu")
    assert describe_device(device).keys() == {"torch", "numpy", "device"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="PyTorch finds a GPU")
@pytest.mark.parametrize(
    ("given", "noted"), [("GPU-1a", True), ("0,1", True), ("-1", False), ("NoDevFiles", False), ("", False)]
)
def test_a_gpu_that_pytorch_does_not_find_is_noted(
    given: str, noted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert setup_compute(1, "auto") == torch.device("cpu")
    note = f"PyTorch does not find the GPU {given} of this job, and computes on the CPU. Check the driver.\n"
    assert capsys.readouterr().out == note * noted


def test_bf16_is_for_processors_that_are_faster_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(**capabilities: object) -> bool:
        monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
        return use_bf16(torch.device("cpu"))

    assert of(amx_bf16=True, cpu_name="Intel")
    assert USED["precision"] == "bf16"
    assert of(avx512_bf16=True, cpu_name="AMD EPYC")
    assert not of(avx512_bf16=True, cpu_name="Intel")
    assert not of()
    assert USED["precision"] == "fp32 in place of bf16"


def test_tf32_is_for_gpus_and_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # PyTorch's default
    for device, precision, used, recorded in [
        ("cpu", "tf32", "fp32", "fp32 in place of tf32"),
        ("cuda", "tf32", "tf32", "tf32"),
    ]:
        assert use_precision(precision, torch.device(device)) == used
        assert torch.backends.cudnn.allow_tf32 == (used == "tf32")
        assert USED["precision"] == recorded
    assert use_precision("fp32", torch.device("cuda")) == "fp32"
    assert not torch.backends.cudnn.allow_tf32
