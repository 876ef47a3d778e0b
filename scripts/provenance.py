"""Record what made a run's results: code, configuration, packages, machines, data, seeds, and the cost of every job.

Each job ends its log with a record of its own: where it ran, with which versions, and the checksums of what it wrote. This
script collects these records, so that an upgrade, or a second machine, shows at the results that it made.

Writes into FOLDER: provenance.json (all of it), provenance.md (the same in short, for people), jobs.csv (machine, versions,
time and memory of every job), config.yaml (the complete configuration), requirements.lock, and changes.patch (uncommitted
changes of the code).

example:
  python scripts/provenance.py --config config.yaml --data data/prepared/mnist-*/*.npy --results files.txt
      --logs logs/demo --output results/demo/provenance
"""

import datetime
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
from _cli import parser, read_mapping, run_job
from _git import ROOT, GitError, code_digest, commit, is_code, uncommitted, untracked
from _lists import read_list

from lpn.errors import UserError
from lpn.files import atomic_path, checksum, write_json, write_text
from lpn.record import differences, read_records

COSTS = {"s": "seconds", "max_rss": "max_rss_mb", "mean_load": "load"}  # columns of Snakemake's benchmarks, and ours
WHERE = ("machine", "device", "threads", "precision", "python")


def code_state() -> tuple[dict[str, Any], bytes]:
    """Return what git says of the code: the commit, or why there is none; and the patch of changes since."""
    try:
        head = commit()
        others = {name: (ROOT / name).stat().st_size for name in untracked() if not is_code(name)}
        return {"commit": head, "dirty": bool(patch := uncommitted()), "not_recorded": others}, patch
    except GitError as error:
        return {"commit": None, "reason": str(error), "code": code_digest()}, b""


def seeds(config: dict[str, Any], place: str = "") -> dict[str, int]:
    """Return every seed of the configuration by its key."""
    found = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= seeds(value, f"{place}{key}.")
        elif key == "seed":
            found[place + key] = value
    return found


def job_table(records: dict[str, dict[str, Any]], benchmarks: Path) -> pd.DataFrame:
    """Return one row a job: where and with what it ran, and from Snakemake's benchmarks its time (s), memory (MB) and load.

    The time of a training that was killed and resumed is that of its last attempt.
    """
    rows = []
    for name, record in records.items():
        row = {"job": name} | {key: record.get(key) for key in WHERE}
        row["packages"] = " ".join(f"{package}-{version}" for package, version in record["packages"].items())
        path = benchmarks / f"{name.replace('/', '_')}.tsv"
        if path.exists():
            measured = pd.read_csv(path, sep="\t").iloc[0]
            end = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
            row |= {ours: measured[theirs] for theirs, ours in COSTS.items()} | {"finished": f"{end:%FT%T}Z"}
        rows.append(row)
    return pd.DataFrame(rows, columns=["job", *COSTS.values(), "finished", *WHERE, "packages"])


def as_yaml(config: dict[str, Any]) -> str:
    """Return the configuration as YAML, its keys in their order."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    YAML().dump(config, text)
    return text.getvalue()


def mixture(mixed: dict[str, dict[str, list[str]]]) -> str:
    """Return a warning that names what differs between jobs, nothing if nothing does."""
    if not mixed:
        return ""
    rows = [
        {"differs": what, "value": value, "jobs": len(jobs), "which": ", ".join(jobs[:5]) + ", ..." * (len(jobs) > 5)}
        for what, by_value in mixed.items()
        for value, jobs in by_value.items()
    ]
    table = pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
    return f"**This run is mixed: its jobs differ in {', '.join(mixed)}.** jobs.csv has each job.\n\n{table}\n\n"


def summary(record: dict[str, Any], jobs: pd.DataFrame) -> str:
    """Return the record in short, as Markdown."""
    git = record["git"]
    code = git["commit"] or f"none ({git['reason']})"
    rows = {
        "run": f"{record['run']}: {record['label']}",
        "commit": code + " with uncommitted changes (changes.patch)" * git.get("dirty", False),
        "not part of the record": ", ".join(git.get("not_recorded", {})),
        "recorded": record["recorded"],
        "machines": "; ".join(jobs["machine"].value_counts().index),
        "results without the record of a job": sum(not result["job"] for result in record["results"].values()),
        "jobs": f"{len(jobs)}: {jobs['seconds'].sum() / 3600:.2f} hours in all, {jobs['max_rss_mb'].max():.0f} MB at most",
    }
    shown = ["job", *COSTS.values(), "device", "threads"]
    costliest = jobs.sort_values("seconds", ascending=False).head(20).reindex(columns=shown)
    versions: dict[str, set[str]] = {}
    for job in record["jobs"].values():
        for package, version in job["packages"].items():
            versions.setdefault(package, set()).add(version)
    tables = [
        pd.DataFrame(rows.items(), columns=["", "this run"]),
        pd.DataFrame([{"data": path, "SHA-256": values["sha256"]} for path, values in record["data"].items()]),
        pd.DataFrame(record["seeds"].items(), columns=["seed", "value"]),
        costliest.rename(columns={"job": "costliest jobs"}),
        pd.DataFrame(
            [{"package": package, "version": ", ".join(sorted(versions[package]))} for package in sorted(versions)]
        ),
    ]
    texts = [table.astype(object).where(table.notna(), "").to_markdown(index=False) for table in tables]
    return mixture(record["mixed"]) + "\n\n".join(texts) + "\n"


def described(path: str) -> dict[str, Any]:
    """Return the size and the SHA-256 of a file, or of all files in a folder."""
    files = Path(path).rglob("*") if Path(path).is_dir() else [Path(path)]
    return {"bytes": sum(file.stat().st_size for file in files if file.is_file()), "sha256": checksum(path)}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--config", required=True, help="the run's complete configuration: JSON text or a file")
    arguments.add_argument("--data", nargs="*", default=[], help="files of prepared data")
    arguments.add_argument("--files", nargs="*", default=[], help="files that the configuration names, such as plug-ins")
    arguments.add_argument("--results", type=Path, help="text file with the paths of the results, one in each line")
    arguments.add_argument("--logs", required=True, type=Path, help="folder of the run's logs and benchmarks")
    arguments.add_argument("--output", required=True, type=Path, help="folder to write into")
    args = arguments.parse_args()
    config = json.loads(json.dumps(read_mapping(args.config)))  # of plain strings
    if missing := [key for key in ("run", "label") if key not in config]:
        raise UserError(f"the configuration lacks the keys {', '.join(missing)}.")
    paths = [path for path in read_list(args.results) if Path(path).exists()]
    records = read_records(args.logs)
    made = {path: (name, digest) for name, job in records.items() for path, digest in job["files"].items()}
    used = {made[path][0] for path in [*paths, *args.data] if path in made}  # not those of jobs that the run no longer has
    records = {name: job for name, job in records.items() if name in used}
    git, patch = code_state()
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    record = {
        "run": config["run"],
        "label": config["label"],
        "recorded": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git": git,
        "mixed": differences(records),
        "jobs": {name: {key: value for key, value in job.items() if key != "files"} for name, job in records.items()},
        "results": {
            path: {"job": made[path][0], "sha256": made[path][1]} if path in made else {"job": None} | described(path)
            for path in paths
        },
        "data": {path: described(path) for path in args.data},
        "files": {path: described(path) for path in args.files},
        "plug_ins": {path: Path(path).read_text(encoding="utf-8") for path in args.files if path.endswith(".py")},
        "seeds": seeds(config),
        "config": config,
    }
    jobs = job_table(records, args.logs / "benchmarks")
    write_text(args.output / "config.yaml", as_yaml(config))
    write_text(args.output / "requirements.lock", lock)
    with atomic_path(args.output / "changes.patch") as temporary:
        temporary.write_bytes(patch)
    write_text(args.output / "jobs.csv", jobs.to_csv(index=False))
    write_text(args.output / "provenance.md", summary(record, jobs))
    write_json(args.output / "provenance.json", record)


if __name__ == "__main__":
    run_job(main)
