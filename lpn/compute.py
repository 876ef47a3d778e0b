"""Arithmetic, memory and devices, set up the same way for every job."""

import contextlib
import ctypes
import os
import re
from importlib.metadata import version
from typing import Literal

import torch

from lpn.record import USED

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


def setup_compute(threads: int, device: str) -> torch.device:
    """Set up arithmetic the same way for every job and return the device ("auto": CUDA if there is one).

    fp32 means fp32 (no TF32), cuDNN uses deterministic kernels, and numbers below the normal range (1e-38) count as zero: a
    CPU needs up to twice as long for networks of sharp activations, whose slopes are often that small. The threads of
    PyTorch's pool are started later and inherit that.

    Raises ValueError as `find_device` does.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    found = find_device(device)
    USED.update(device=device_name(found), threads=threads, precision="fp32")
    return found


def find_device(name: str) -> torch.device:
    """Return the device of a name ("auto": CUDA if there is one). Raises ValueError for one that PyTorch does not find."""
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    there = ["cpu", *(["cuda", *gpus] if gpus else [])]
    if name not in ("auto", *there):
        raise ValueError(f"device '{name}' is unknown; PyTorch finds here: {', '.join(there)}. Use one of these, or auto")
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if name == "auto" and not gpus and re.match(r"\d|GPU-|MIG-", given):  # not -1 or NoDevFiles, which give none
        print(f"PyTorch does not find the GPU {given} of this job, and computes on the CPU. Check the driver.", flush=True)
    return torch.device(name if name != "auto" else "cuda" if gpus else "cpu")


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, "cpu" for a CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def use_bf16(device: torch.device) -> bool:
    """Return whether a device is faster in bfloat16 than in fp32, and record what is used.

    CPUs are with Intel's AMX, or AMD's AVX512-BF16. On Intel's without AMX, convolutions need up to 1.7 times as long as in
    fp32; a CPU without either emulates bfloat16, up to 13 times slower.
    """
    if device.type == "cuda":
        faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        cpu = torch.cpu.get_capabilities()
        amd = str(cpu.get("cpu_name", "")).startswith("AMD")
        faster = bool(cpu.get("amx_bf16", False) or (amd and cpu.get("avx512_bf16", False)))
    USED["precision"] = "bf16" if faster else "fp32 in place of bf16"
    return faster


def use_precision(precision: Literal["fp32", "tf32", "bf16"], device: torch.device) -> Literal["fp32", "tf32", "bf16"]:
    """Set up the arithmetic of a training and return it: what is asked for, or fp32 if the device is not faster in it.

    TF32 is PyTorch's default for convolutions; it is used only where it is asked for.
    """
    faster = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    torch.backends.cudnn.allow_tf32 = precision == "tf32" and faster
    if precision == "tf32":
        USED["precision"] = "tf32" if faster else "fp32 in place of tf32"
        return "tf32" if faster else "fp32"
    return "bf16" if precision == "bf16" and use_bf16(device) else "fp32"


def describe_device(device: torch.device) -> dict[str, str]:
    """Return the versions of torch and NumPy and the device, by which two results of the same settings may differ."""
    return {"torch": version("torch"), "numpy": version("numpy"), "device": device_name(device)}
