"""Score points of a method's parameter grid: the mean PSNR of its last iterates over validation images.

Writes a list of {"parameters": the point, "psnr": its score, or null if the method diverged}; scripts/choose.py reads it.

example:
  python scripts/tune.py --measurement m.npz --output scores.json --spec '{"operator": {"name": "blur", "sigma": 1.0},
      "seed": 0, "clip": false, "method": {"solver": {"name": "admm", "rho": 0.1}, "prox": {"name": "tv", "weight": 0.1},
      "scale": 0.5, "iterations": 20}, "points": [{"solver.rho": 0.1}, {"solver.rho": 0.2}]}'
"""

from _cli import add_device, add_threads, as_user_errors, parser, read_spec, setup_compute
from _specs import MethodSpec
from pydantic import Field

from lpn.checkpoints import load_model
from lpn.errors import UserError, run_cli
from lpn.experiment import Point
from lpn.files import write_json
from lpn.measurements import read_measurement
from lpn.operators import build_operator
from lpn.tuning import tune


class TuneSpec(MethodSpec):
    """A method and points of its parameter grid."""

    points: list[Point] = Field(description="settings of the method by their paths, e.g. {solver.rho: 0.1}", min_length=1)


def main() -> None:
    arguments = parser(__doc__, TuneSpec)
    arguments.add_argument("--spec", required=True, help="settings: JSON text, or a JSON or YAML file")
    arguments.add_argument("--measurement", required=True, help=".npz file of scripts/measure.py")
    arguments.add_argument("--model", help="model.pt, for methods with a learned denoiser")
    arguments.add_argument("--output", required=True, help="JSON file of the scores")
    add_threads(arguments)
    add_device(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec, TuneSpec)
    device = setup_compute(args.threads, args.device)
    measurement = read_measurement(args.measurement)
    if measurement.truth is None:
        raise UserError(f"{args.measurement} lacks the array truth, without which there is no PSNR to search by.")
    network = load_model(args.model) if args.model else None
    with as_user_errors("the operator: "):
        operator = build_operator(spec.operator, tuple(measurement.start.shape[1:]), spec.seed)
    with as_user_errors(f"the method{f' with {args.model}' if args.model else ''}: "):
        scores = tune(spec.method, spec.points, operator, measurement, spec, network, device)
    write_json(args.output, [score.model_dump() for score in scores])


if __name__ == "__main__":
    run_cli(main)
