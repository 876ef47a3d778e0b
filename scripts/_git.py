"""What git knows about the project."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from lpn.files import checksum

ROOT = Path(__file__).resolve().parent.parent
CODE = ("lpn", "scripts", "workflow", "config")  # the folders of what makes results
TEXT = {".py", ".smk", ".ipynb", ".yaml", ".yml", ".rst", ".md", ".html", ".json", ".toml"}
LARGE = 2**20  # bytes: no file of code is larger


class GitError(Exception):
    """Why git can't answer, in its words."""


def git(*arguments: str) -> bytes:
    """Return the output of a git command about the project. Raises GitError if it fails, as without a repository."""
    if not shutil.which("git"):
        raise GitError("git is not installed")
    run = subprocess.run(["git", *arguments], cwd=ROOT, check=False, capture_output=True)
    if run.returncode and not (run.returncode == 1 and arguments[0] == "diff"):  # 1: there are differences
        raise GitError(run.stderr.decode(errors="replace").strip().partition("\n")[0] or f"git {arguments[0]} failed")
    return run.stdout


def commit() -> str:
    """Return the commit of the project. Raises GitError without one, and where the repository is another project's."""
    git("ls-files", "--error-unmatch", "workflow/Snakefile")  # fails if a repository around the project ignores it
    return git("rev-parse", "HEAD").decode().strip()


def code_digest() -> str:
    """Return a checksum of the folders of code, by which they are known without git."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in CODE for path in (ROOT / folder).rglob("*") if path.suffix in TEXT):
        digest.update(f"{path.relative_to(ROOT).as_posix()} {checksum(path)}\n".encode())
    return digest.hexdigest()


def untracked() -> list[str]:
    """Return the files of the project's folder that git neither knows nor ignores."""
    listed = git("ls-files", "-z", "--others", "--exclude-standard").split(b"\0")
    return [os.fsdecode(name) for name in listed if name]


def is_code(name: str) -> bool:
    """Tell whether an untracked file is code: text in a folder of code, and small. All else may be the user's data."""
    path = ROOT / name
    return Path(name).parts[0] in CODE and path.suffix in TEXT and path.stat().st_size <= LARGE


def uncommitted() -> bytes:
    """Return a patch of all changes since the commit, with new files of code."""
    patches = [git("diff", "HEAD", "--binary", "--relative")]
    patches += [git("diff", "--binary", "--no-index", "/dev/null", name) for name in untracked() if is_code(name)]
    return b"".join(patches)
