"""Old states of trainings are listed, and removed only if asked."""

import subprocess
import sys
from pathlib import Path

import pytest

from lpn.files import try_lock

from .conftest import ROOT


@pytest.fixture
def states(tmp_path: Path) -> list[Path]:
    """States of a run: of two of its models, of an older code, of a model that is gone, and of another run."""
    (tmp_path / "tiny.json").write_text('{"run": "tiny", "label": "tiny", "make": ["laplacian"]}')
    script = f"""
import sys
sys.path.insert(0, {str(ROOT / "workflow")!r})
from pathlib import Path
from configuration import resolve
from layout import Layout
from plan import Plan
resolved = resolve([Path("tiny.json")], {{}}, Path(".snakemake/lpn"))
plan = Plan(resolved["config"], resolved["facts"], Layout("tiny", Path("data")))
for name in plan.trained[:2]:
    print(plan.layout.checkpoints(name, plan.code("train", plan.training_settings(name))))
"""
    used = subprocess.check_output([sys.executable, "-c", script], cwd=tmp_path, text=True).split()
    old = [str(Path(used[0]).with_name("0123456789abcdef")), "results/tiny/checkpoints/gone/0123456789abcdef"]
    folders = [tmp_path / name for name in [*used, *old, "results/other/checkpoints/gone/0123456789abcdef"]]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "state.pt").write_bytes(bytes(2_000_000))
    return folders


def clean(folder: Path, *options: str) -> str:
    """Run the script; return what it prints."""
    command = [sys.executable, str(ROOT / "workflow/clean_checkpoints.py"), "tiny.json", *options]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_old_states(states: list[Path], tmp_path: Path) -> None:
    lines = clean(tmp_path).splitlines()
    assert [line.split()[-1] for line in lines] == [str(path.relative_to(tmp_path)) for path in (states[3], states[2])]
    assert all("0.0 days" in line and "2.0 MB" in line for line in lines)
    assert all(path.exists() for path in states)
    lock = try_lock(states[3] / "lock")  # of a training that runs
    assert lock
    with lock:
        assert "a training uses it: not removed" in clean(tmp_path, "--remove")
    assert [path.exists() for path in states] == [True, True, False, True, True]
    clean(tmp_path, "--remove")
    assert [path.exists() for path in states] == [True, True, False, False, True]
    assert clean(tmp_path) == ""
