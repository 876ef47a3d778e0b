"""Score points of a method's parameter grid: the mean PSNR of its last iterates over validation images.

Writes a list of {"parameters": the point, "psnr": its score, or null if the method diverged}; scripts/choose.py reads it.

example:
  python scripts/tune.py --measurement m.npz --output scores.json --spec '{"operator": {"name": "blur", "sigma": 1.0},
      "seed": 0, "clip": false, "method": {"solver": {"name": "admm", "rho": 0.1}, "prox": {"name": "tv", "weight": 0.1},
      "scale": 0.5, "iterations": 20}, "points": [{"solver.rho": 0.1}, {"solver.rho": 0.2}]}'
"""

from _cli import as_user_errors, read_spec, run_job
from _specs import MethodSpec, method_parser, read_parts
from pydantic import Field

from lpn.files import write_json
from lpn.grid import Point
from lpn.tuning import tune


class TuneSpec(MethodSpec):
    """A method and points of its parameter grid."""

    points: list[Point] = Field(description="settings of the method by their paths, e.g. {solver.rho: 0.1}", min_length=1)


def main() -> None:
    arguments = method_parser(__doc__, TuneSpec)
    arguments.add_output("--output", help="JSON file of the scores")
    args = arguments.parse_args()
    spec = read_spec(args.spec, TuneSpec)
    parts = read_parts(args, spec)
    with as_user_errors(f"the method{f' with {args.model}' if args.model else ''}: "):
        scores = tune(spec.method, spec.points, **parts)
    write_json(args.output, [score.model_dump() for score in scores])


if __name__ == "__main__":
    run_job(main)
