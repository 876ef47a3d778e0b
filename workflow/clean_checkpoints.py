"""List the resumable states of trainings that no given configuration uses any more, of the runs of these configurations.

A training keeps its state under the fingerprint of its code. After an edit it starts anew, and the old state stays.

examples:
  python workflow/clean_checkpoints.py config/demo.yaml mine.yaml
  python workflow/clean_checkpoints.py first.yaml,second.yaml --remove    # two files of one run
"""

import argparse
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from configuration import resolve
from layout import Layout
from plan import Plan

from lpn.files import try_lock


def unused(plans: Iterable[Plan]) -> list[Path]:
    """Return the folders of states, of the runs of some plans, that none of the plans uses."""
    used, found = set[Path](), set[Path]()
    for plan in plans:
        used |= {plan.layout.checkpoints(name, plan.code("train", plan.training_settings(name))) for name in plan.trained}
        found |= {folder for folder in (plan.layout.out / "checkpoints").glob("*/*") if folder.is_dir()}
    return sorted(found - used)


def main() -> None:
    """Print a line for each folder: its age, its size, its path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configurations", nargs="+", help="the configurations in use; the files of one run with commas")
    parser.add_argument("--remove", action="store_true", help="remove what is listed")
    args = parser.parse_args()
    plans = []
    for files in args.configurations:
        resolved = resolve(map(Path, files.split(",")), {})
        config = resolved["config"]
        plans.append(Plan(config, resolved["facts"], Layout(config["run"], Path(config["folder"]))))
    for folder in unused(plans):
        states = [path.stat() for path in [folder, *folder.rglob("*")]]
        days = (time.time() - max(state.st_mtime for state in states)) / 86400
        print(f"{days:8.1f} days {sum(state.st_size for state in states) / 1e6:10.1f} MB  {folder}", flush=True)
        if args.remove:
            if (lock := try_lock(folder / "lock")) is None:
                print("         a training uses it: not removed")
                continue
            with lock:
                shutil.rmtree(folder)


if __name__ == "__main__":
    main()
