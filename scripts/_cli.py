"""What all command lines share. torch is imported where it is needed: most scripts do without."""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpn.errors import UserError
from lpn.memory import keep_freed_memory

if TYPE_CHECKING:
    import torch


def parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser that shows a script's docstring, examples included, as its help."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_threads(arguments: argparse.ArgumentParser) -> None:
    """Add --threads."""
    arguments.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")


def add_device(arguments: argparse.ArgumentParser) -> None:
    """Add --device."""
    arguments.add_argument("--device", default="auto", help="auto (default: CUDA where there is one), cpu, cuda, cuda:1")


ROOT = Path(__file__).resolve().parent.parent


def git(*arguments: str) -> bytes | None:
    """Return the output of a git command about the project; None where it fails, as without git or a repository."""
    if not shutil.which("git"):
        return None
    run = subprocess.run(["git", *arguments], cwd=ROOT, check=False, capture_output=True)
    return run.stdout if run.returncode in (0, 1) else None  # 1: there are differences


MACHINE = "machine: "  # begins the line of a log that names the machine of the job


def describe_machine() -> str:
    """Return the machine in one line: name, processor, cores, memory, GPUs."""
    import torch

    information = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", information.read_text()) if information.exists() else None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    processor = found[1] if found else platform.processor() or platform.machine()
    return f"{platform.node()}, {processor}, {os.cpu_count()} cores, {memory:.0f} GiB, {', '.join(gpus) or 'no GPU'}"


def setup_compute(threads: int, device: str) -> "torch.device":
    """Set up arithmetic the same way for every job, log the machine and return the device ("auto": CUDA if there is one).

    fp32 means fp32 (no TF32), cuDNN takes deterministic kernels, and numbers below the normal range (1e-38) count as zero: a
    CPU takes up to twice as long for networks of sharp activations, whose slopes often lie there. The threads of PyTorch's
    pool are started later and inherit that.
    """
    import torch

    print(MACHINE + describe_machine(), flush=True)
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def use_bf16(settings: dict[str, Any], device: "torch.device") -> bool:
    """Tell whether to compute in bfloat16: where `precision` is bf16 and the device is faster in it than in fp32.

    CPUs are with Intel's AMX, or as AMD's with AVX512-BF16. On Intel's without AMX, convolutions take up to 1.7 times as
    long as in fp32; a CPU without either emulates bfloat16, up to 13 times slower. There fp32 takes its place, and the log
    says so.
    """
    import torch

    if settings.get("precision") != "bf16":
        return False
    if device.type == "cuda":
        faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        cpu = torch.cpu.get_capabilities()
        amd = cpu.get("cpu_name", "").startswith("AMD")
        faster = cpu.get("amx_bf16", False) or (amd and cpu.get("avx512_bf16", False))
    if not faster:
        print("this processor is not faster in bfloat16: 'precision: bf16' is computed in fp32", flush=True)
    return faster


def read_spec(text: str, *keys: str) -> dict[str, Any]:
    """Read a job's settings: JSON text, or the path of a JSON or YAML file. They must have these keys."""
    spec = _read(text)
    if not isinstance(spec, dict):
        raise UserError(f"the settings {text} must be a mapping of keys to values.")
    if missing := [key for key in keys if key not in spec]:
        raise UserError(f"the settings lack the keys {', '.join(missing)}; they need {', '.join(keys)}.")
    return spec


def _read(text: str) -> Any:
    is_json = text.lstrip().startswith("{")
    try:
        content = text if is_json else Path(text).read_text()
        if is_json or text.endswith(".json"):
            return json.loads(content)
        return _read_yaml(content, text)
    except (OSError, ValueError) as error:
        raise UserError(f"the settings {'' if is_json else text} can't be read: {error}.") from error


def _read_yaml(content: str, path: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML with the numbers of YAML 1.2; to PyYAML 1e-3 is a string."""

    number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    try:
        return yaml.load(content, Loader)
    except yaml.YAMLError as error:
        raise UserError(f"the settings {path} are no valid YAML: {error}.") from error
