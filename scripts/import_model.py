"""Read a trained model from a file, a URL or Google Drive, and write it as this pipeline's training would.

examples:
  python scripts/import_model.py --spec '{"source": "celeba.pt", "network": "lpn_patch"}' --output faces/model.pt
  python scripts/import_model.py --output faces/model.pt
      --spec '{"source": "drive:1qtOra7EDas8gDXGHMsCfSjjIqdvnnb5E/celeba/model.pt", "network": "lpn_patch"}'
"""

from pathlib import Path
from typing import Annotated, Any

from _cli import as_user_errors, parser, read_spec, run_job
from pydantic import Field

from lpn.checkpoints import load_model, made_with, read_checkpoint, save_model, settings_file, written_settings
from lpn.errors import UserError
from lpn.fetch import Sha256, fetch_model
from lpn.files import write_json
from lpn.networks import NetworkSettings
from lpn.settings import Choice, Settings


class ImportSpec(Settings):
    """A trained model."""

    source: str = Field(min_length=1, description="path, URL or drive:FOLDER_ID/PATH of a public Google Drive folder")
    network: Annotated[NetworkSettings, Choice("network")] = Field(description="the network of the checkpoint")
    sha256: Sha256 | None = Field(default=None, description="SHA-256 of the file")


def check_settings(path: Path, config: dict[str, Any]) -> None:
    """Raise UserError if a checkpoint was written with other settings: beta and alpha leave no trace in weights."""
    try:
        trained = written_settings(path)
    except (FileNotFoundError, ValueError):  # a published file may stand alone
        return
    for key in sorted(config.keys() & trained.keys()) if isinstance(trained, dict) else []:
        if config[key] != trained[key]:
            raise UserError(f"key 'network.{key}' is {config[key]}, but by {settings_file(path)} the network was trained "
                            f"with {trained[key]}. Set the key to that.")  # fmt: skip


def main() -> None:
    arguments = parser(__doc__, ImportSpec)
    arguments.add_argument("--spec", required=True, help="the settings: JSON text, or a JSON or YAML file")
    arguments.add_output("--output", help="model.pt; model_config.json and made_with.json are written beside it")
    args = arguments.parse_args()
    spec = read_spec(args.spec, ImportSpec)
    if others := [other for other in args.output.parent.glob("*.pt") if other.name != args.output.name]:
        raise UserError(f"{others[0]} lies in the folder of the output, whose model_config.json would no longer be its own. "
                        "Choose another folder.")  # fmt: skip
    path = fetch_model(spec.source, spec.sha256)
    with as_user_errors("key 'network': "):
        model, checkpoint = load_model(path, spec.network), read_checkpoint(path)
    check_settings(path, model.config)
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise UserError(f"{path}: parameter {name} holds NaN or infinite values. Use another checkpoint.")
    write_json(args.output.with_name("made_with.json"), made_with(path))
    save_model(args.output, model, checkpoint["iteration"], checkpoint["optimizer_state_dict"], checkpoint["loss"])
    print(f"{path}: {model.config}, {checkpoint['iteration']} steps")


if __name__ == "__main__":
    run_job(main)
