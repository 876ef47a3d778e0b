"""Choose a method's parameters: the point of a grid with the highest mean PSNR over validation images.

example:
  python scripts/choose.py tuning/tv/0.csv tuning/tv/1.csv --grid '{"points": [{"rho": 0.1}, {"rho": 0.2}]}' --output tv.json
"""

from pathlib import Path

import pandas as pd
from _cli import parser, read_spec

from lpn.errors import run_cli
from lpn.files import write_json


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("files", nargs="+", type=Path, help="CSV files of scripts/reconstruct.py, one a grid point, in order")
    arguments.add_argument("--grid", required=True, help="the points: a list of {parameter: value} under the key points")
    arguments.add_argument("--output", required=True, help="JSON file of the chosen parameters and of all scores")
    args = arguments.parse_args()
    points = read_spec(args.grid)["points"]
    scores = [pd.read_csv(file).psnr.mean() for file in args.files]
    best = points[scores.index(max(scores))]
    grid = [point | {"psnr": score} for point, score in zip(points, scores, strict=True)]
    at_edge = [key for key, value in best.items() if len(points) > 1 and value in _ends([p[key] for p in points])]
    if at_edge:
        print(f"note: the best value of {', '.join(at_edge)} is at an end of the grid; a wider one may have a better.")
    write_json(args.output, {"parameters": best, "grid": grid, "at_edge": at_edge})


def _ends(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


if __name__ == "__main__":
    run_cli(main)
