"""Which versions of PyTorch and NumPy the jobs of a run used, as their logs say."""

import collections
import importlib.metadata
from pathlib import Path

PACKAGES = "packages: "  # begins the line of a log that names the versions of a job


def installed() -> str:
    """Return the installed versions, in the words of the logs."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy"))


def versions_of(logs: Path) -> collections.Counter[str]:
    """Return how many jobs used which versions; jobs that used neither package are not counted."""
    found: collections.Counter[str] = collections.Counter()
    for path in sorted(logs.rglob("*.log")):
        with path.open(encoding="utf-8", errors="replace") as file:
            for line, _ in zip(file, range(5), strict=False):
                if line.startswith(PACKAGES):
                    found[line.removeprefix(PACKAGES).strip()] += 1
                    break
    return found


def note_of_other_versions(logs: Path) -> str:
    """Return a note where jobs of a run used other versions than the installed ones, else nothing."""
    others = versions_of(logs)
    others.pop(installed(), None)
    if not others:
        return ""
    made = "; ".join(f"{count} by {versions}" for versions, count in others.items())
    return (
        f"note: some results were made with other versions: {made}. Installed: {installed()}. They are kept. "
        "To make them with the installed versions, add --forceall."
    )
