"""Measure the training and validation images of a prepared data set, and reconstruct them: the pairs for regularisers.

Measurements and reconstructions, such as filtered back-projections, are without noise, which training adds. Both are written
as arrays beside pairs.json, which says of which operator and which images they are.

example:
  python scripts/make_pairs.py --data data/prepared/mayo --output data/prepared/mayo_tomography
      --spec '{"operator": {"name": "tomography", "angles": 200, "detectors": 400}}'
"""

from pathlib import Path
from typing import Annotated

from _cli import add_threads, as_user_errors, parser, read_spec, run_job, setup_compute
from pydantic import Field, NonNegativeInt

from lpn.operators import OperatorSettings
from lpn.settings import Choice, Settings
from lpn.training.pairs import write_pairs


class PairsSpec(Settings):
    """How the images are measured."""

    operator: Annotated[OperatorSettings, Choice("operator")] = Field(description="the operator A")
    seed: NonNegativeInt = Field(default=0, description="seed of random operators")


def main() -> None:
    arguments = parser(__doc__, PairsSpec)
    arguments.add_argument("--spec", required=True, help="settings: JSON text, or a JSON or YAML file")
    arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared data set")
    arguments.add_argument("--output", required=True, type=Path, help="folder of the pairs")
    add_threads(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec, PairsSpec)
    setup_compute(args.threads, "cpu")
    with as_user_errors("the operator: "):
        write_pairs(args.data, spec.operator, spec.seed, args.output)


if __name__ == "__main__":
    run_job(main)
