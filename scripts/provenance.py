"""Record what made a run's results: code, configuration, packages, machines, data, seeds, and the cost of every job.

`packages` are the versions that are installed when the record is written; `job_packages` says with which versions of torch
and NumPy jobs ran, and how many logs name them.

Writes into FOLDER: provenance.json (all of it), provenance.md (the same in short, for people), jobs.csv (time and memory of
every job), config.yaml (the complete configuration), requirements.lock, and changes.patch (uncommitted changes of the code).

example:
  python scripts/provenance.py --config config.yaml --data data/prepared/mnist-*/*.npy --logs logs/demo
      --output results/demo/provenance
"""

import datetime
import hashlib
import importlib.metadata
import io
import json
import os
import platform
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from _cli import MACHINE, PACKAGES, parser, read_mapping
from _git import ROOT, git

from lpn.compute import describe_machine
from lpn.errors import UserError, run_cli
from lpn.files import atomic_path, checksum, write_json, write_text


def uncommitted() -> bytes:
    """Return a patch of all changes since the last commit, files that git does not know yet among them."""
    new = (git("ls-files", "-z", "--others", "--exclude-standard") or b"").split(b"\0")[:-1]
    untracked = (git("diff", "--binary", "--no-index", "/dev/null", os.fsdecode(name)) for name in new)
    patches = [git("diff", "HEAD", "--binary"), *untracked]
    return b"".join(patch or b"" for patch in patches)


def seeds(config: dict[str, Any], place: str = "") -> dict[str, int]:
    """Return every seed of the configuration by its key."""
    found = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= seeds(value, f"{place}{key}.")
        elif key == "seed":
            found[place + key] = value
    return found


def job_costs(folder: Path) -> pd.DataFrame:
    """Return one row a job, from Snakemake's benchmark files: time (s), peak memory (MB), mean load (%), end.

    The time of a training that was killed and resumed is that of its last attempt.
    """
    rows = []
    for path in sorted(folder.glob("*.tsv")):
        measured = pd.read_csv(path, sep="\t").iloc[0]
        end = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
        row = {"job": path.stem, "seconds": measured["s"], "max_rss_mb": measured["max_rss"], "load": measured["mean_load"]}
        rows.append(row | {"finished": end.isoformat(timespec="seconds")})
    return pd.DataFrame(rows, columns=["job", "seconds", "max_rss_mb", "load", "finished"])


def logged(logs: Path, start: str) -> Counter[str]:
    """Return what follows `start` in lines of the jobs' logs, and in how many logs it does."""
    found: Counter[str] = Counter()
    for path in sorted(logs.rglob("*.log")):
        lines = path.read_text(errors="replace").splitlines()
        found.update({line.removeprefix(start) for line in lines if line.startswith(start)})
    return found


def as_yaml(config: dict[str, Any]) -> str:
    """Return the configuration as YAML, its keys in their order."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    YAML().dump(config, text)
    return text.getvalue()


def summary(record: dict[str, Any], jobs: pd.DataFrame) -> str:
    """Return the record in short, as Markdown."""
    commit = record["git"]["commit"] or "not in a git repository"
    dirty = " with uncommitted changes (changes.patch)" if record["git"]["dirty"] else ""
    rows = {
        "run": f"{record['run']}: {record['label']}",
        "commit": commit + dirty,
        "recorded": record["recorded"],
        "Python": f"{record['python']} on {record['platform']}",
        "machines": "; ".join(record["machines"]),
        "packages of jobs": "; ".join(f"{text} (jobs: {count})" for text, count in record["job_packages"].items()),
        "jobs": f"{len(jobs)}: {jobs['seconds'].sum() / 3600:.2f} hours in all, {jobs['max_rss_mb'].max():.0f} MB at most",
    }
    costliest = jobs.sort_values("seconds", ascending=False).head(20)
    tables = [
        pd.DataFrame(rows.items(), columns=["", "this run"]),
        pd.DataFrame([{"data": path, "SHA-256": values["sha256"]} for path, values in record["data"].items()]),
        pd.DataFrame(record["seeds"].items(), columns=["seed", "value"]),
        costliest.rename(columns={"job": "costliest jobs"}),
        pd.DataFrame(record["packages"].items(), columns=["package", "version"]),
    ]
    return "\n\n".join(table.to_markdown(index=False) for table in tables) + "\n"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--config", required=True, help="the run's complete configuration: JSON text or a file")
    arguments.add_argument("--data", nargs="*", default=[], help="files of prepared data")
    arguments.add_argument("--logs", required=True, type=Path, help="folder of the run's logs and benchmarks")
    arguments.add_argument("--output", required=True, type=Path, help="folder to write into")
    args = arguments.parse_args()
    config = json.loads(json.dumps(read_mapping(args.config)))  # of plain strings
    if missing := [key for key in ("run", "label") if key not in config]:
        raise UserError(f"the configuration lacks the keys {', '.join(missing)}.")
    jobs = job_costs(args.logs / "benchmarks")
    lock = (ROOT / "requirements.lock").read_text()
    record = {
        "run": config["run"],
        "label": config["label"],
        "recorded": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git": {
            "commit": (git("rev-parse", "HEAD") or b"").decode().strip() or None,
            "dirty": bool(git("status", "--porcelain")),
        },
        "lock": hashlib.sha256(lock.encode()).hexdigest(),
        "packages": {d.name: d.version for d in sorted(importlib.metadata.distributions(), key=lambda d: d.name.lower())},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machines": sorted(logged(args.logs, MACHINE) | Counter([describe_machine()])),
        "job_packages": dict(sorted(logged(args.logs, PACKAGES).items())),
        "data": {path: {"bytes": Path(path).stat().st_size, "sha256": checksum(path)} for path in args.data},
        "seeds": seeds(config),
        "config": config,
    }
    write_text(args.output / "config.yaml", as_yaml(config))
    write_text(args.output / "requirements.lock", lock)
    with atomic_path(args.output / "changes.patch") as temporary:
        temporary.write_bytes(uncommitted())
    write_text(args.output / "jobs.csv", jobs.to_csv(index=False))
    write_text(args.output / "provenance.md", summary(record, jobs))
    write_json(args.output / "provenance.json", record)


if __name__ == "__main__":
    run_cli(main)
