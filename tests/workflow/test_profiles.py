"""What the profiles' own scripts say, with a scheduler that is made up."""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["job_state = Q"], "running"),
        (["job_state = R", "resources_used.walltime = 00:00:01"], "running"),
        (["job_state = F", "Exit_status = 0"], "success"),
        (["job_state = F", "Exit_status = 271"], "failed"),  # killed
        (["job_state = F"], "failed"),  # deleted before it began
    ],
)
def test_status_of_pbs_jobs(tmp_path: Path, lines: list[str], status: str) -> None:
    listing = "".join(f"    {line}\n" for line in ["Job_Name = train", *lines, "Exit_reason = none"])
    (tmp_path / "qstat").write_text(f"#!/bin/sh\ncat << END\nJob Id: 7.server\n{listing}END\n")
    (tmp_path / "qstat").chmod(0o755)
    command = ["sh", str(ROOT / "workflow/profiles/pbs/status.sh"), "7.server"]
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    assert subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout == f"{status}\n"
