"""Pack a finished run into one file that describes and verifies itself: an RO-Crate (1.1) as a zip archive.

It holds the code that made the run, its configuration, tables, figures, models, certificates, per-image results, logs and
provenance; not the data, the reconstructed arrays and the resumable state of training. The code is that of the record: its
commit, with the uncommitted changes of the time. `python ARCHIVE` verifies it.

example:
  python scripts/archive.py results/demo --logs logs/demo --output results/demo.zip
"""

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from _cli import parser
from _git import CODE, ROOT, GitError, code_digest, git
from verify_archive import METADATA
from verify_run import changed, read_record

from lpn.errors import UserError, run_cli
from lpn.files import atomic_path, checksum

LEFT_OUT = {".npz", ".npy"}  # made again from models and data
TOP = (  # files of the project beside the folders of code, where there is no git to list them
    *("README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "Makefile"),
    *("pyproject.toml", "requirements.lock", "environment.yml"),
)
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


def extract_code(record: dict[str, Any], patch: Path, folder: Path) -> None:
    """Write the code of the record into a folder. Raises UserError if it can't be had any more."""
    commit = record["git"]["commit"]
    if commit is None:
        if code_digest() != record["git"]["code"]:
            raise UserError(
                "the code is not that of the run any more, and no commit holds the old one "
                f"({record['git']['reason']}). Run it again, then archive it."
            )
        for name in (*CODE, *TOP):
            source, target = ROOT / name, folder / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.is_file():
                shutil.copy(source, target)
        return
    try:
        with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as file:
            file.extractall(folder, filter="data")
    except GitError as error:
        raise UserError(
            f"the run was made by the commit {commit}, which can't be read ({error}). Fetch it, or run again, then archive."
        ) from error
    if patch.stat().st_size:
        applied = subprocess.run(
            ["git", "apply", "--whitespace=nowarn", str(patch.resolve())], cwd=folder, check=False, capture_output=True
        )
        if applied.returncode:
            raise UserError(f"{patch} does not fit the commit {commit}. It is damaged: run again, then archive.")


def files_below(folder: Path, name: str = "") -> dict[str, Path]:
    """Return the files below a folder by their names below `name`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{name}{path.relative_to(folder).as_posix()}": path for path in paths}


def made_files(record: dict[str, Any], run: Path, logs: Path) -> dict[str, Path]:
    """Return the results, provenance and logs of the record by their names in the archive.

    Raises UserError if a result has other bytes than its job wrote.
    """
    if faults := changed(record["results"]):
        text = "; ".join(f"{path} {fault}" for path, fault in faults.items())
        raise UserError(f"{text}. Delete what holds other bytes, and run again.")
    files = {path: Path(path) for path in record["results"] if Path(path).suffix not in LEFT_OUT}
    files |= files_below(run / "provenance", f"results/{record['run']}/provenance/")
    for job, suffix in ((job, suffix) for job in record["jobs"] for suffix in (".log", ".ipynb")):
        if (path := logs / f"{job}{suffix}").is_file():
            files[f"logs/{record['run']}/{job}{suffix}"] = path
    return files


def describe(name: str, path: Path) -> dict[str, str]:
    """Return the RO-Crate entity of a file."""
    kind = TYPES.get(Path(name).suffix, "application/octet-stream")
    size = str(path.stat().st_size)
    return {"@id": name, "@type": "File", "contentSize": size, "encodingFormat": kind, "sha256": checksum(path)}


def metadata(record: dict[str, Any], files: dict[str, Path]) -> str:
    """Return the RO-Crate metadata of the files, with their sizes and SHA-256, and of the run that made them."""
    described = [describe(name, path) for name, path in files.items()]
    code = record["git"]["commit"] or f"no commit ({record['git']['reason']})"
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Learned proximal networks, run {record['run']}",
        "description": f"{record['label']}. Made at {code}; see the folder provenance of the run.",
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
    arguments.add_output("--output", help="zip file to write")
    args = arguments.parse_args()
    record = read_record(args.run)
    with tempfile.TemporaryDirectory() as folder:
        extract_code(record, args.run / "provenance/changes.patch", Path(folder))
        files = files_below(Path(folder)) | {"__main__.py": ROOT / "scripts/verify_archive.py"}
        files |= made_files(record, args.run, args.logs)
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
