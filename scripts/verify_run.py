"""Verify a run: which of its results and data have the bytes of the record, and the code and settings of today.

Bytes are compared with provenance.json, to which each job gave the checksums of what it wrote. Code, settings and inputs are
compared by Snakemake, which names every file that it would make again. Exits with 1 if anything differs.

examples:
  python scripts/verify_run.py                                    # the run of config/paper.yaml
  python scripts/verify_run.py --configfile config/demo.yaml
"""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from _cli import parser
from _git import ROOT

from lpn.errors import UserError, run_cli
from lpn.files import checksum

RECORD = "provenance/provenance.json"


def summary(configfiles: list[str]) -> list[dict[str, str]]:
    """Return what Snakemake says of each file of the run: output_file, status, plan. Raises UserError with its reason."""
    options = ["--snakefile", str(ROOT / "workflow/Snakefile"), *(["--configfile", *configfiles] if configfiles else [])]
    command = [sys.executable, "-m", "snakemake", "--summary", "--cores", "1", *options]
    run = subprocess.run(command, check=False, capture_output=True, encoding="utf-8")
    if run.returncode:
        raise UserError(f"Snakemake can't plan this run: {run.stderr.strip().splitlines()[-1]}")
    return list(csv.DictReader(run.stdout.splitlines(), delimiter="\t"))


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of a run. Raises UserError if there is none."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder / RECORD} is missing: the run is not finished. Run it to the end first.") from None


def changed(recorded: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the recorded files that are gone or hold other bytes, each with what is wrong."""
    faults = {}
    for path, entry in recorded.items():
        if not Path(path).exists():
            faults[path] = "is missing"
        elif checksum(path) != entry["sha256"]:
            faults[path] = "holds other bytes than its job wrote" if "job" in entry else "holds other bytes than recorded"
    return faults


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--configfile", nargs="*", default=[], help="configuration files (default: config/paper.yaml)")
    files = summary(arguments.parse_args().configfile)
    (place,) = [row["output_file"] for row in files if row["output_file"].endswith(RECORD)]
    record = read_record(Path(place.removesuffix(RECORD)))
    faults = changed(record["results"] | record["data"] | record["files"])
    for row in files:
        if row["plan"] != "no update":
            why = row["status"] if row["status"] != "ok" else "what it is made from would be made again"
            faults.setdefault(row["output_file"], f"would be made again ({why})")
    for path, fault in sorted(faults.items()):
        print(f"{path} {fault}")
    number = len(record["results"]) + len(record["data"])
    if faults:
        raise UserError(
            f"{len(faults)} files of {record['run']} are not what its record says. Run it again: that makes anew what "
            "has other code, settings or inputs. Delete files that hold other bytes first."
        )
    print(f"{record['run']}: {number} files have the bytes, code, settings and data of the record")


if __name__ == "__main__":
    run_cli(main)
