"""Choose a method's parameters: the point of a grid with the highest mean PSNR over validation images.

example:
  python scripts/choose.py tuning/tv/0.json tuning/tv/1.json --output tv.json
"""

import json
import math
from pathlib import Path

from _cli import parser

from lpn.errors import UserError, run_cli
from lpn.files import write_json


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("files", nargs="+", type=Path, help="JSON files of scripts/tune.py")
    arguments.add_argument("--output", required=True, help="JSON file of the chosen parameters and of all scores")
    args = arguments.parse_args()
    scores = [score for file in args.files for score in json.loads(file.read_text())]
    best = max(scores, key=lambda score: -math.inf if score["psnr"] is None else score["psnr"])["parameters"]
    if all(score["psnr"] is None for score in scores):
        raise UserError("the method diverged at every point of the grid. Give its config key 'tune' other values: a larger "
                        "'rho', or a smaller 'scale'.")  # fmt: skip
    grid = [score["parameters"] | {"psnr": score["psnr"]} for score in scores]
    at_edge = [key for key, value in best.items() if _at_end(value, {point[key] for point in grid})]
    if at_edge:
        print(f"note: the best value of {', '.join(at_edge)} is at an end of the grid; a wider one may have a better.")
    write_json(args.output, {"parameters": best, "grid": grid, "at_edge": at_edge})


def _at_end(value: float, values: set[float]) -> bool:
    return len(values) > 1 and value in (min(values), max(values))


if __name__ == "__main__":
    run_cli(main)
