"""Write a trained model in another format, by the suffix of the output.

.safetensors has the weights, the settings of the network, and what is known of it: its data and noise level, the commit of
the run, and its certificate. A configuration takes it as `source`, and `lpn.load_model` reads it. .onnx has f for images of
one size, for other programs. A learned proximal network of smaller images is averaged over patches.

examples:
  python scripts/export.py --model results/demo/models/mnist_small/model.pt --output mnist.safetensors
      --certificate results/demo/certificates/mnist_small.json --provenance results/demo/provenance/provenance.json
  python scripts/export.py --model results/demo/models/mnist_small/model.pt --output mnist.onnx
  python scripts/export.py --model results/subset/models/lpn_mayo_part_0.1/model.pt --output ct.onnx --size 512 512
"""

import json
from pathlib import Path
from typing import Any

from _cli import as_user_errors, parser, run_job

from lpn.checkpoints import load_model, made_with, read_checkpoint
from lpn.denoisers import whole
from lpn.errors import UserError
from lpn.files import checksum
from lpn.formats import export_onnx, is_safetensors, write_safetensors
from lpn.networks import LPN


def read_json(path: Path) -> dict[str, Any]:
    """Read a record of a run. Raises UserError if that can't be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read: {error}. Give the file that the run wrote.") from error


def metadata(name: str, certificate: Path | None, provenance: Path | None) -> dict[str, Any]:
    """Return what is known of a model. Raises UserError if a file is that of another model, or of another run."""
    known: dict[str, Any] = {}
    if provenance:
        record = read_json(provenance)
        models = record.get("config", {}).get("models", {})
        if name not in models:
            raise UserError(f"{provenance} has no model '{name}', but: {', '.join(models) or 'none'}. Set --name.")
        known = {"model": name, "run": record["run"], "data": models[name]["data"], "sigma": models[name]["sigma"]}
        known |= {"commit": record["git"]["commit"]} if record["git"]["commit"] else {}
    if certificate:
        result = read_json(certificate)
        if result.get("model") != name:
            raise UserError(f"{certificate} is the certificate of '{result.get('model')}', not of '{name}'. Set --name.")
        known["certificate"] = result
    return known


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", type=Path, required=True, help="model.pt, with model_config.json beside it")
    arguments.add_output("--output", help="file to write: .safetensors or .onnx")
    arguments.add_argument("--name", help="name of the model in its run (default: that of its folder)")
    arguments.add_argument("--certificate", type=Path, help="certificate of the model, for .safetensors")
    arguments.add_argument("--provenance", type=Path, help="provenance.json of the run, for .safetensors")
    size = "size of images, for .onnx (default: the network's)"
    arguments.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help=size)
    args = arguments.parse_args()
    model = load_model(args.model)
    if is_safetensors(args.output):
        known = metadata(args.name or args.model.resolve().parent.name, args.certificate, args.provenance)
        known |= {"made_with": training} if (training := made_with(args.model))["precision"] else {}
        known |= {"iteration": read_checkpoint(args.model)["iteration"], "model_sha256": checksum(args.model)}
        write_safetensors(args.output, model, known)
    elif args.output.suffix == ".onnx":
        sides = [*model.input_shape[:1], *(args.size or model.input_shape[1:])]
        shape = tuple(side for side in sides if side is not None)
        if len(shape) < len(sides):
            raise UserError(f"the network '{model.config['name']}' takes images of any size: give --size.")
        with as_user_errors(f"{args.model}: "):
            export_onnx(whole(model, shape) if isinstance(model, LPN) else model, args.output, (1, *shape))
    else:
        raise UserError(f"{args.output} must end in .safetensors or .onnx, which chooses the format.")


if __name__ == "__main__":
    run_job(main)
