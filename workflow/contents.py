"""The content of files that settings name, as a checksum: one that is replaced, even by an older one, reruns its jobs."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from configuration import CACHE, replace_text

from lpn.files import checksum


class Contents:
    """Checksums of files, which are read again only if their size or time differ from those in the file `store`."""

    def __init__(self, store: Path = CACHE / "contents.json") -> None:
        self.store = store
        self.known: dict[str, str] = json.loads(store.read_text(encoding="utf-8")) if store.exists() else {}

    def of(self, named: Iterable[str]) -> str:
        """Return 16 hexadecimal digits of the content of files, and of all files in folders; nothing for no files."""
        digest, known = hashlib.sha256(), len(self.known)
        for name in (named := sorted(set(named))):
            place = Path(name)
            for path in sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]:
                digest.update(f"{path.as_posix()} {self._checksum(path)}\n".encode())
        if len(self.known) > known:
            replace_text(self.store, json.dumps(self.known))
        return digest.hexdigest()[:16] if named else ""

    def _checksum(self, path: Path) -> str:
        if not path.is_file():
            return "missing"
        state = path.stat()
        key = f"{path.absolute()} {state.st_size} {state.st_mtime_ns}"
        if key not in self.known:
            self.known[key] = checksum(path)
        return self.known[key]
