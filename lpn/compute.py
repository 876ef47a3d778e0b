"""Arithmetic, memory and devices, set up the same way for every job."""

import contextlib
import ctypes
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
NEVER, LARGE, LARGEST_OF_OLD_GLIBC = -1, 2**30, 2**25


def keep_freed_memory() -> None:
    """Keep freed memory for the next allocation instead of returning it to the system (glibc; elsewhere does nothing).

    By default every large temporary of a training step is mapped again, page by page: a quarter of the time of an MNIST step
    on a CPU.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        # mallopt returns 0 if it refuses; a trim threshold alone would make matters worse, since it fixes the other one
        if any(library.mallopt(M_MMAP_THRESHOLD, size) for size in (LARGE, LARGEST_OF_OLD_GLIBC)):
            library.mallopt(M_TRIM_THRESHOLD, NEVER)


def describe_machine() -> str:
    """Return the machine in one line: name, processor, cores, memory, GPUs."""
    information = Path("/proc/cpuinfo")
    text = information.read_text(encoding="utf-8", errors="replace") if information.exists() else ""
    found = re.search(r"model name\s*: (.*)", text)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    processor = found[1] if found else platform.processor() or platform.machine()
    return f"{platform.node()}, {processor}, {os.cpu_count()} cores, {memory:.0f} GiB, {', '.join(gpus) or 'no GPU'}"


def describe_packages(*names: str) -> str:
    """Return the versions of installed packages in one line, e.g. "torch 2.15.0, numpy 2.4.1"."""
    return ", ".join(f"{name} {version(name)}" for name in names)


def setup_compute(threads: int, device: str) -> torch.device:
    """Set up arithmetic the same way for every job and return the device ("auto": CUDA if there is one).

    fp32 means fp32 (no TF32), cuDNN uses deterministic kernels, and numbers below the normal range (1e-38) count as zero: a
    CPU needs up to twice as long for networks of sharp activations, whose slopes are often that small. The threads of
    PyTorch's pool are started later and inherit that.

    Raises ValueError for an unknown device.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device '{device}' is unknown; known are auto, cpu, cuda and cuda:0, cuda:1, ...") from error


def use_bf16(device: torch.device) -> bool:
    """Return whether a device is faster in bfloat16 than in fp32.

    CPUs are with Intel's AMX, or AMD's AVX512-BF16. On Intel's without AMX, convolutions need up to 1.7 times as long as in
    fp32; a CPU without either emulates bfloat16, up to 13 times slower.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpu = torch.cpu.get_capabilities()
    amd = str(cpu.get("cpu_name", "")).startswith("AMD")
    return bool(cpu.get("amx_bf16", False) or (amd and cpu.get("avx512_bf16", False)))


def describe_device(device: torch.device) -> dict[str, str]:
    """Return the versions of torch and NumPy and the device, by which two results of the same settings may differ."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"torch": version("torch"), "numpy": version("numpy"), "device": name}
