"""Lists of files, for command lines that must not grow with the number of files."""

from pathlib import Path

from lpn.errors import UserError


def read_list(path: Path | None) -> list[str]:
    """Return the paths in a text file, one in each line; none without a file. Raises UserError if it is missing."""
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"the list of files {path} can't be read ({error}).") from error
