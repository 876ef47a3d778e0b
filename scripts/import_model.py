"""Take a trained model from a file, a URL or Google Drive, and write it as this pipeline's training would.

examples:
  python scripts/import_model.py --spec '{"source": "celeba.pt", "network": {"name": "lpn_128"}}' --output faces/model.pt
  python scripts/import_model.py --output faces/model.pt
      --spec '{"source": "drive:1qtOra7EDas8gDXGHMsCfSjjIqdvnnb5E/celeba/model.pt", "network": {"name": "lpn_128"}}'
"""

import json
from pathlib import Path
from typing import Any

from _cli import parser, read_spec

from lpn.checkpoints import load_model, read_checkpoint, save_model
from lpn.errors import UserError, run_cli
from lpn.sources import fetch_model


def check_settings(file: Path, config: dict[str, Any]) -> None:
    """Raise UserError where the file beside a checkpoint has other settings: beta and alpha leave no trace in weights."""
    try:
        trained = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):  # a published file may stand alone
        return
    for key in sorted(config.keys() & trained.keys()) if isinstance(trained, dict) else []:
        if config[key] != trained[key]:
            raise UserError(f"config key 'network.{key}' is {config[key]}, but by {file} the network was trained with "
                            f"{trained[key]}. Set the key to that.")  # fmt: skip


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="source (path, URL or drive:FOLDER_ID/PATH) and network, as JSON")
    arguments.add_argument("--output", type=Path, required=True, help="model.pt; model_config.json is written beside it")
    args = arguments.parse_args()
    spec = read_spec(args.spec, "source", "network")
    path = fetch_model(spec["source"])
    model, checkpoint = load_model(path, spec["network"]), read_checkpoint(path)
    check_settings(path.with_name("model_config.json"), model.config)
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise UserError(f"{path}: parameter {name} holds NaN or infinite values. Use another checkpoint.")
    save_model(args.output, model, *(checkpoint[key] for key in ("iteration", "optimizer_state_dict", "loss")))
    print(f"{path}: {model.config}, {checkpoint['iteration']} steps")


if __name__ == "__main__":
    run_cli(main)
