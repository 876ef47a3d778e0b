"""Certify that a trained model is a proximal operator, or a convex regulariser; exit with an error if it is not.

Images of the test split are the points of networks of images, or their centres of the network's size, or of `side` if it has
none; an equally spaced grid from `low` to `high` are those of networks of numbers.

example:
  python scripts/certify.py --name mnist_small --model results/demo/models/mnist_small/model.pt --data data/prepared/mnist
      --spec '{"points": 16, "lanczos_steps": 40, "inversion_tolerance": 1e-3, "seed": 0}'
"""

from pathlib import Path

import torch
from _cli import add_device, add_threads, as_user_errors, parser, read_spec, run_job, setup_compute
from pydantic import Field

from lpn.certificate import Certificate, CertificateSettings, ConvexCertificate, certify, certify_convex
from lpn.checkpoints import load_model, made_with
from lpn.errors import UserError
from lpn.files import write_json
from lpn.images import centre, load_images, to_tensor
from lpn.networks import LPN, Regulariser, network_settings


class CertifySpec(CertificateSettings):
    """How a network is certified, and where."""

    low: float | None = Field(default=None, description="first point, for networks of numbers")
    high: float | None = Field(default=None, description="last point, for networks of numbers")


def read_points(spec: CertifySpec, data: Path | None, model: LPN | Regulariser) -> torch.Tensor:
    """Return the points (N, *input_shape). Raises UserError if what is given does not fit the network."""
    if len(model.input_shape) == 1:
        if spec.low is None or spec.high is None or data is not None:
            raise UserError("a network of numbers needs 'low' and 'high' in the settings, and no --data.")
        if spec.low >= spec.high:
            raise UserError(f"the settings: 'low' is {spec.low:g}, not below 'high', {spec.high:g}.")
        return torch.linspace(spec.low, spec.high, spec.points)[:, None]
    if data is None or (spec.low, spec.high) != (None, None):
        raise UserError("a network of images needs --data, the folder of the prepared test images, and no 'low' and 'high'.")
    images = load_images(data / "test.npy")[: spec.points]
    side = model.input_shape[-1] or min(spec.side, *images.shape[-2:])
    with as_user_errors(f"{data / 'test.npy'}: "):
        return centre(to_tensor(images), side)


def examine(spec: CertifySpec, model: LPN | Regulariser, x: torch.Tensor) -> Certificate | ConvexCertificate:
    """Return the certificate of a model at points."""
    if isinstance(model, LPN):
        return certify(model, x, **spec.model_dump(include={"lanczos_steps", "inversion_tolerance", "seed"}))
    return certify_convex(model, x, seed=spec.seed)


def main() -> None:
    arguments = parser(__doc__, CertifySpec)
    arguments.add_argument("--spec", required=True, help="the settings: JSON text, or a JSON or YAML file")
    arguments.add_argument("--name", default="", help="name of the model, for the key 'model' of the output")
    arguments.add_argument("--model", required=True, help="model.pt, with model_config.json beside it")
    arguments.add_argument("--data", type=Path, help="folder of the prepared test images (none for networks of numbers)")
    arguments.add_output("--output", required=False, help="JSON file, written if the model passes")
    add_threads(arguments)
    add_device(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec, CertifySpec)
    device = setup_compute(args.threads, args.device)
    model = load_model(args.model).to(device)
    if not isinstance(model, LPN | Regulariser) or not network_settings(model.config).certified:
        raise UserError(f"{args.model} is a network '{model.config['name']}'; only learned proximal networks and convex "
                        "regularisers are certified.")  # fmt: skip
    x = read_points(spec, args.data, model).to(device)
    certificate = examine(spec, model, x)
    for name, value in certificate.as_dict().items():
        print(f"{name:20} {value}")
    if certificate.failures:
        what = "a proximal operator" if isinstance(model, LPN) else "convex"
        raise UserError(
            f"{args.model} is not certified as {what}: {'; '.join(certificate.failures)}. "
            "No result that needs this model will be made. Train it longer, with a larger 'alpha' if f can't be inverted, "
            "or give another checkpoint."
        )
    if args.output:
        precision = made_with(args.model)["precision"]
        write_json(args.output, {"model": args.name, "precision": precision, **certificate.as_dict()})


if __name__ == "__main__":
    run_job(main)
