"""Take a trained model from a file, a URL or Google Drive, and write it as this pipeline's training would.

examples:
  python scripts/import_model.py --spec '{"source": "celeba.pt", "network": {"name": "lpn_128"}}' --output faces/model.pt
  python scripts/import_model.py --output faces/model.pt
      --spec '{"source": "drive:1qtOra7EDas8gDXGHMsCfSjjIqdvnnb5E/celeba/model.pt", "network": {"name": "lpn_128"}}'
"""

from pathlib import Path

from _cli import parser, read_spec

from lpn.checkpoints import load_model, read_checkpoint, save_model
from lpn.errors import UserError, run_cli
from lpn.sources import fetch_model


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="source (path, URL or drive:FOLDER_ID/PATH) and network, as JSON")
    arguments.add_argument("--output", type=Path, required=True, help="model.pt; model_config.json is written beside it")
    args = arguments.parse_args()
    spec = read_spec(args.spec, "source", "network")
    path = fetch_model(spec["source"])
    model, checkpoint = load_model(path, spec["network"]), read_checkpoint(path)
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise UserError(f"{path}: parameter {name} holds NaN or infinite values. Use another checkpoint.")
    save_model(args.output, model, *(checkpoint[key] for key in ("iteration", "optimizer_state_dict", "loss")))
    print(f"{path}: {model.config}, {checkpoint['iteration']} steps")


if __name__ == "__main__":
    run_cli(main)
