"""What the scripts that reconstruct images share: their settings, their options, and what these name."""

from argparse import Namespace
from typing import Annotated, Any

from _cli import Parser, add_device, add_threads, as_user_errors, parser, setup_compute
from pydantic import Field, PositiveInt

from lpn.checkpoints import load_model
from lpn.experiment import Method, Scores
from lpn.measurements import read_measurement
from lpn.operators import OperatorSettings
from lpn.settings import Choice


class MethodSpec(Scores):
    """A method, the operator of its measurements, and how its images are scored."""

    operator: Annotated[OperatorSettings, Choice("operator")] = Field(description="the operator that measured")
    seed: int = Field(description="the seed of the measurements, from which random operators are drawn")
    draw: bool = Field(default=False, description="whether the seed drew a random operator whose arrays the file lacks")
    shape: list[PositiveInt] | None = Field(
        default=None,
        description="shape [C, H, W] of an image; null: that of truth, start or observed",
        min_length=3,
        max_length=3,
    )
    method: Method = Field(description="the method: solver, prox, scale, iterations, stop")


def method_parser(doc: str | None, spec: type[MethodSpec]) -> Parser:
    """Return a parser with the options of `read_parts`, and --spec."""
    arguments = parser(doc, spec)
    arguments.add_argument("--spec", required=True, help="settings: JSON text, or a JSON or YAML file")
    written = (
        ".npz file of scripts/measure.py, or your own: y, and if known truth, start, observed (N, C, H, W); for a random "
        "operator also its arrays: filter, sign, rows of compressed sensing. See docs/measurements.md"
    )
    arguments.add_argument("--measurement", required=True, help=written)
    arguments.add_argument("--model", help="model.pt, for methods with a learned denoiser or regulariser")
    add_threads(arguments)
    add_device(arguments)
    return arguments


def read_parts(args: Namespace, spec: MethodSpec) -> dict[str, Any]:
    """Return what a method of `lpn.experiment` needs besides its settings, by the names of its arguments."""
    device = setup_compute(args.threads, args.device)
    shape = tuple(spec.shape) if spec.shape else None
    with as_user_errors("the operator: "):
        operator, measurement = read_measurement(args.measurement, spec.operator, spec.seed, shape, spec.draw)
    network = load_model(args.model) if args.model else None
    return {"operator": operator, "measurement": measurement, "scores": spec, "network": network, "device": device}
