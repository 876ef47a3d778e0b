"""What git knows about the project."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def git(*arguments: str) -> bytes | None:
    """Return the output of a git command about the project; None if it fails, as without git or a repository."""
    if not shutil.which("git"):
        return None
    run = subprocess.run(["git", *arguments], cwd=ROOT, check=False, capture_output=True)
    return run.stdout if run.returncode in (0, 1) else None  # 1: there are differences
