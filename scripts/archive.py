"""Pack a finished run into one file that describes and verifies itself: an RO-Crate (1.1) as a zip archive.

It holds the code, the run's configuration, tables, figures, models, certificates, per-image results, logs and provenance;
not the data, the reconstructed arrays and the resumable state of training. `python ARCHIVE` verifies it.

example:
  python scripts/archive.py results/demo --logs logs/demo --output results/demo.zip
"""

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

from _cli import parser
from _git import ROOT, git
from verify_archive import METADATA

from lpn.errors import UserError, run_cli
from lpn.files import atomic_path, checksum

CODE = ("lpn", "scripts", "workflow", "config", "tests")
LEFT_OUT = {".npz", ".npy"}  # made again from models and data
TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".ipynb": "application/x-ipynb+json",
    ".json": "application/json",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".py": "text/x-python",
    ".yaml": "application/yaml",
}


def code_files() -> dict[str, Path]:
    """Return the files of the project by name: all that git does not ignore, without a repository the known folders."""
    known = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if known is not None:
        paths = [ROOT / os.fsdecode(name) for name in known.split(b"\0") if name]
    else:
        inside = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*")) if "__pycache__" not in path.parts]
        paths = [*sorted(ROOT.iterdir()), *inside]
    return {str(path.relative_to(ROOT)): path for path in paths if path.is_file()}


def made_files(folder: Path, name: str) -> dict[str, Path]:
    """Return the files below a folder of results or logs that are archived, by their names below `name`."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        f"{name}/{inside}": path
        for inside, path in paths.items()
        if path.suffix not in LEFT_OUT and not path.name.startswith(".") and inside.parts[0] != "checkpoints"
    }


def describe(name: str, path: Path) -> dict[str, str]:
    """Return the RO-Crate entity of a file."""
    kind = TYPES.get(Path(name).suffix, "application/octet-stream")
    size = str(path.stat().st_size)
    return {"@id": name, "@type": "File", "contentSize": size, "encodingFormat": kind, "sha256": checksum(path)}


def metadata(record: dict[str, Any], files: dict[str, Path]) -> str:
    """Return the RO-Crate metadata of the files, with their sizes and SHA-256, and of the run that made them."""
    described = [describe(name, path) for name, path in files.items()]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Learned proximal networks, run {record['run']}",
        "description": f"{record['label']}. Made at commit {record['git']['commit']}; see the folder provenance of the run.",
        "datePublished": record["recorded"],
        "license": {"@id": "LICENSE"},
        "hasPart": [{"@id": entity["@id"]} for entity in described],
    }
    about = {
        "@id": METADATA,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    context = ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}]
    return json.dumps({"@context": context, "@graph": [about, root, *described]}, indent=1)


def member(name: str) -> zipfile.ZipInfo:
    """Return a compressed member without a date, so that the same files make the same archive."""
    information = zipfile.ZipInfo(name)
    information.compress_type = zipfile.ZIP_DEFLATED
    return information


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("run", type=Path, help="the run's folder of results")
    arguments.add_argument("--logs", required=True, type=Path, help="the run's folder of logs")
    arguments.add_argument("--output", required=True, type=Path, help="zip file to write")
    args = arguments.parse_args()
    try:
        record = json.loads((args.run / "provenance/provenance.json").read_text())
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename} is missing: the run is not finished. Run it to the end, then archive it."
        ) from None
    files = code_files() | {"__main__.py": ROOT / "scripts/verify_archive.py"}
    files |= made_files(args.run, f"results/{record['run']}") | made_files(args.logs, f"logs/{record['run']}")
    with atomic_path(args.output) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(member(METADATA), metadata(record, files))
        for name, path in files.items():
            with path.open("rb") as source, archive.open(member(name), "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target)
    print(
        f"{args.output}: {len(files)} files, {args.output.stat().st_size / 2**20:.1f} MB; 'python {args.output}' verifies it"
    )


if __name__ == "__main__":
    run_cli(main)
