"""Which versions of PyTorch and NumPy the jobs of a run used, as the records in their logs say."""

import collections
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

from lpn.record import read_records

PACKAGES = ("torch", "numpy")


def installed() -> str:
    """Return the installed versions, without the build that follows a "+"."""
    return _versions({name: importlib.metadata.version(name) for name in PACKAGES})


def _versions(packages: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {packages[name].partition('+')[0]}" for name in PACKAGES)


def versions_of(logs: Path) -> collections.Counter[str]:
    """Return how many jobs used which versions; jobs that did not use both packages are not counted."""
    used = [record["packages"] for record in read_records(logs).values()]
    both = [versions for versions in used if all(name in versions for name in PACKAGES)]
    return collections.Counter(map(_versions, both))


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
