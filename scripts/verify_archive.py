"""Verify an archive of scripts/archive.py: every file is there, with its checksum, and no other. Needs Python alone.

The archive holds this script as its __main__.py, so it verifies itself.

examples:
  python results/demo.zip
  python scripts/verify_archive.py results/demo.zip
"""

import hashlib
import io
import json
import sys
import zipfile
import zlib
from typing import cast

METADATA = "ro-crate-metadata.json"


def problems(archive: str) -> tuple[int, list[str]]:
    """Return the number of files that the archive's metadata describe, and what is wrong with it."""
    with zipfile.ZipFile(archive) as file:
        entities = json.loads(file.read(METADATA))["@graph"]
        expected = {entity["@id"]: entity["sha256"] for entity in entities if entity["@type"] == "File"}
        names = set(file.namelist()) - {METADATA}
        found = [f"{name} is missing" for name in sorted(expected.keys() - names)]
        found += [f"{name} is not described" for name in sorted(names - expected.keys())]
        for name in sorted(expected.keys() & names):
            try:
                with cast(io.BufferedIOBase, file.open(name)) as member:
                    intact = hashlib.file_digest(member, "sha256").hexdigest() == expected[name]
            except (zipfile.BadZipFile, zlib.error):
                intact = False
            if not intact:
                found.append(f"{name} is damaged")
    return len(expected), found


def main() -> None:
    """Verify the archive named on the command line or, run as an archive, this one."""
    archive = sys.argv[1] if len(sys.argv) > 1 else sys.path[0]
    try:
        number, found = problems(archive)
    except (OSError, zipfile.BadZipFile, zlib.error, KeyError, ValueError) as error:
        sys.exit(f"error: {archive} is truncated, damaged or no archive of a run ({error}). Fetch or make it again.")
    if found:
        sys.exit(f"error: {archive} is not intact: {'; '.join(found)}. Fetch or make it again.")
    print(f"{archive}: {number} files, all intact")


if __name__ == "__main__":
    main()
