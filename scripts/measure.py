"""Simulate the measurements of an inverse problem, y = A x + noise, for some images of a prepared data set.

Writes .npz (no pickles): the images (truth), the measurements (y), where solvers begin (start), the measurements as images
(observed), and the arrays of a random operator. The noise of image i depends on the seed, the split and i alone.

example:
  python scripts/measure.py --data data/prepared/celeba --output measurement.npz --spec '{"split": "test", "first": 0,
      "images": 20, "operator": {"name": "blur", "sigma": 1.0}, "noise": 0.02, "seed": 0}'
"""

from pathlib import Path
from typing import Annotated, Literal

from _cli import add_threads, as_user_errors, parser, read_spec, run_job, setup_compute
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from lpn.images import centre, read_images, to_tensor
from lpn.measurements import simulate, write_measurement
from lpn.operators import OperatorSettings, build_operator
from lpn.settings import Choice, Settings


class MeasureSpec(Settings):
    """Which images are measured, and how."""

    split: Literal["train", "validation", "test"] = Field(description="the part of the data set")
    first: NonNegativeInt = Field(description="number of the first image")
    images: PositiveInt = Field(description="how many images; they must have the same size")
    crop: PositiveInt | None = Field(
        default=None, description="side of the centre squares that are used, in pixels; null: all"
    )
    operator: Annotated[OperatorSettings, Choice("operator")] = Field(description="the operator A")
    noise: NonNegativeFloat = Field(description="standard deviation of the noise, of images in [0, 1]")
    seed: int = Field(description="seed of the noise and of random operators")


def main() -> None:
    arguments = parser(__doc__, MeasureSpec)
    arguments.add_argument("--spec", required=True, help="settings: JSON text, or a JSON or YAML file")
    arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared data set")
    arguments.add_output("--output", help=".npz file to write")
    add_threads(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec, MeasureSpec)
    setup_compute(args.threads, "cpu")
    x = to_tensor(read_images(args.data / f"{spec.split}.npy", spec.first, spec.images))
    if spec.crop is not None:
        with as_user_errors("'crop': "):
            x = centre(x, spec.crop)
    with as_user_errors("the operator: "):
        operator = build_operator(spec.operator, tuple(x.shape[1:]), spec.seed)
        measurement = simulate(x, operator, spec.noise, spec.seed, spec.split, spec.first)
    write_measurement(args.output, measurement)


if __name__ == "__main__":
    run_job(main)
