"""Copy results of a finished run to a folder in which they can be published, with the record of what made them.

Each file must hold the bytes that its job wrote, as the run's provenance.json says. Files keep their places below the run.

example:
  python scripts/publish.py results/mnist --output docs/results/mnist --files 'tables/*.csv' 'figures/*.png' 'certificates/*'
"""

import shutil
from pathlib import Path

from _cli import parser
from verify_run import changed, read_record

from lpn.errors import UserError, run_cli
from lpn.files import atomic_path

RECORD = ("provenance.json", "provenance.md", "jobs.csv", "config.yaml")


def chosen(run: Path, patterns: list[str], recorded: set[str]) -> list[Path]:
    """Return the files of a run that patterns choose. Raises UserError for a pattern that chooses no recorded result."""
    files: list[Path] = []
    for pattern in patterns:
        found = [path for path in sorted(run.glob(pattern)) if str(path) in recorded]
        if not found:
            raise UserError(f"no result of {run} has the name {pattern}. Look into the folder, and give another pattern.")
        files += found
    return files


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("run", type=Path, help="folder of the run, as its record names it, such as results/mnist")
    arguments.add_argument("--files", nargs="+", required=True, help="what to copy: names or patterns below the run")
    arguments.add_argument("--output", type=Path, required=True, help="folder to write into")
    args = arguments.parse_args()
    record = read_record(args.run)
    files = chosen(args.run, args.files, set(record["results"]))
    if faults := changed({str(path): record["results"][str(path)] for path in files}):
        raise UserError("; ".join(f"{path} {fault}" for path, fault in faults.items()) + ". Run it again, then publish it.")
    for path in [*files, *(args.run / "provenance" / name for name in RECORD)]:
        with atomic_path(args.output / path.relative_to(args.run)) as temporary:
            shutil.copyfile(path, temporary)
    print(f"{args.output}: {len(files)} results of {record['run']}, and the record of what made them")


if __name__ == "__main__":
    run_cli(main)
