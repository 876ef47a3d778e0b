"""Certify that a trained model is a proximal operator; exit with an error where it is not.

example:
  python scripts/certify.py --model results/demo/models/mnist/model.pt --data data/prepared/mnist
      --spec '{"data": "mnist", "points": 16, "lanczos_steps": 40, "inversion_tolerance": 1e-3, "seed": 0}'
"""

from pathlib import Path

import torch
from _cli import add_device, add_threads, parser, read_spec, setup_compute

from lpn.certificate import certify
from lpn.checkpoints import load_model
from lpn.data import centre, load_images, to_tensor
from lpn.errors import UserError, run_cli
from lpn.files import write_json


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--spec", required=True, help="data (laplace: and low, high), points, lanczos_steps, inversion_tolerance, seed"
    )
    arguments.add_argument("--model", required=True, help="model.pt, with model_config.json beside it")
    arguments.add_argument("--data", help="folder of the prepared data set (none for laplace)")
    arguments.add_argument("--output", help="JSON file to write where the model passes")
    add_threads(arguments)
    add_device(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec, "data", "points", "lanczos_steps", "inversion_tolerance", "seed")
    if (spec["data"] == "laplace") != (args.data is None):
        raise UserError("--data names the folder of the prepared test images; it is needed for all data but laplace.")
    device = setup_compute(args.threads, args.device)
    model = load_model(args.model).to(device)
    if spec["data"] == "laplace":
        x = torch.linspace(spec["low"], spec["high"], spec["points"])[:, None]
    else:
        images = load_images(Path(args.data) / "test.npy")[: spec["points"]]
        x = centre(to_tensor(images), model.input_shape[-1])
    certificate = certify(
        model,
        x.to(device),
        lanczos_steps=spec["lanczos_steps"],
        inversion_tolerance=spec["inversion_tolerance"],
        seed=spec["seed"],
    )
    for name, value in certificate.as_dict().items():
        print(f"{name:20} {value}")
    if certificate.failures:
        raise UserError(
            f"{args.model} is not certified as a proximal operator: {'; '.join(certificate.failures)}. "
            "No result that needs this model will be made. Train it longer, with a larger 'alpha' where f can't be "
            "inverted, or give another checkpoint."
        )
    if args.output:
        write_json(args.output, certificate.as_dict())


if __name__ == "__main__":
    run_cli(main)
