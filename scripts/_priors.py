"""What the scripts share that evaluate the learned priors of images."""

import argparse
from pathlib import Path
from typing import TypeVar

import torch
from _cli import add_device, add_threads, parser, read_spec, setup_compute

from lpn.checkpoints import load_model
from lpn.errors import UserError
from lpn.networks import LPN
from lpn.settings import Settings

Spec = TypeVar("Spec", bound=Settings)


def read_arguments(doc: str | None, settings: type[Spec]) -> tuple[argparse.Namespace, Spec, LPN, torch.device]:
    """Return the command line, its settings, and the learned proximal network of images, in float64 on the device.

    Raises UserError if the settings or the model can't be read, or the model is another network.
    """
    arguments = parser(doc, settings)
    arguments.add_argument("--spec", required=True, help="the settings: JSON text or a file")
    arguments.add_argument("--model", required=True, help="model.pt, with model_config.json beside it")
    arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared data set")
    arguments.add_output("--output", help="CSV file of R")
    arguments.add_output("--arrays", help=".npz file of the images")
    add_threads(arguments)
    add_device(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec, settings)
    device = setup_compute(args.threads, args.device)
    model = load_model(args.model).double().to(device)
    if not isinstance(model, LPN) or len(model.input_shape) != 3:
        raise UserError(f"{args.model} is no learned proximal network of images, so it has no prior. Give another model.pt.")
    return args, spec, model, device
