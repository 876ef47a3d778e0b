"""The record of a job: where and with what it ran, and the checksum of each file that it wrote; the last line of its log."""

import json
import os
import platform
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from lpn.files import WRITTEN, checksum

START = "record: "  # begins the line
USED: dict[str, Any] = {}  # what a job used that the interpreter can't tell: device, threads, precision
TAIL = 2**16  # bytes at the end of a log that hold the line


def machine() -> str:
    """Return the machine in one line: name, processor, cores, and memory where the system tells (Linux, macOS)."""
    information = Path("/proc/cpuinfo")
    text = information.read_text(encoding="utf-8", errors="replace") if information.exists() else ""
    found = re.search(r"model name\s*: (.*)", text)
    processor = found[1] if found else platform.processor() or platform.machine()
    parts = [platform.node(), processor, f"{os.cpu_count()} cores"]
    if hasattr(os, "sysconf"):
        parts.append(f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB")
    return ", ".join(parts)


def packages() -> dict[str, str]:
    """Return the versions of the packages that this process imported, by the names of their modules."""
    roots = {name: module for name, module in list(sys.modules.items()) if "." not in name and not name.startswith("_")}
    versions = {name: getattr(module, "__version__", None) for name, module in roots.items()}
    return {
        name: version
        for name, version in sorted(versions.items())
        if isinstance(version, str) and name not in sys.stdlib_module_names
    }


def record() -> dict[str, Any]:
    """Return the record of this process."""
    place = {"machine": machine(), "python": platform.python_version(), "packages": packages()}
    return {**place, **USED, "files": {str(path): checksum(path) for path in sorted(WRITTEN) if path.exists()}}


def read_records(logs: Path) -> dict[str, dict[str, Any]]:
    """Return the records in the logs of a folder, by the path of the log without its suffix; logs without one have none."""
    found = {}
    for path in sorted(logs.rglob("*.log")):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
        if line := next((line for line in reversed(lines) if line.startswith(START)), None):
            with suppress(ValueError):  # a full disk may have cut the line
                found[path.relative_to(logs).with_suffix("").as_posix()] = json.loads(line.removeprefix(START))
    return found


def differences(records: dict[str, dict[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """Return the jobs by machine, and by version of Python and of each package, of those that differ between jobs."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, entries in records.items():
        for what, value in {"machine": entries["machine"], "python": entries["python"], **entries["packages"]}.items():
            found.setdefault(what, {}).setdefault(value, []).append(name)
    return {what: jobs for what, jobs in found.items() if len(jobs) > 1}
