"""The command line of data sets."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

PLUG_IN = """
import numpy as np
from lpn.data import DataSet


class Noise(DataSet):
    side: int = 4

    def read(self, sources):
        if self.side > 8:
            raise ValueError("too large")
        images = np.zeros((2, 1, self.side, self.side), np.float32 if self.side < 8 else float)
        return "nowhere", {split: images for split in ("train", "validation", "test")}
"""


def run(folder: Path, **spec: object) -> subprocess.CompletedProcess[str]:
    """Run the script with a specification."""
    command = [str(ROOT / "scripts/prepare_data.py"), "--spec", json.dumps(spec), "--folder", str(folder)]
    options = ["--output", str(folder / "out")]
    return subprocess.run([sys.executable, *command, *options], capture_output=True, text=True, check=False)


def test_a_built_in_set(tmp_path: Path) -> None:
    done = run(tmp_path, name="phantoms")
    assert done.stdout.startswith("phantoms from computed\n"), done.stderr
    assert np.load(tmp_path / "out/train.npy").shape == (64, 1, 128, 128)


def test_a_plug_in(tmp_path: Path) -> None:
    file = tmp_path / "noise.py"
    file.write_text(PLUG_IN)
    done = run(tmp_path, name=f"{file}:Noise", side=5)
    assert done.stdout.startswith(f"{file}:Noise from nowhere\n"), done.stderr
    assert np.load(tmp_path / "out/test.npy").shape == (2, 1, 5, 5)
    done = run(tmp_path, name=f"{file}:Noise", side=9)
    assert f"error: {file}, line 11: " in done.stderr
    assert "too large." in done.stderr


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "celebb"}, "unknown dataset 'celebb'; did you mean 'celeba'?"),
        ({"name": "celeba", "cuont": 3}, "unknown key 'cuont'; did you mean 'count'?"),
        ({"name": "celeba", "count": 0}, "greater than 0"),
        ({"name": "kodak", "count": 20}, "Kodak has 24 images, not 20"),
        ({"name": "laplace"}, "data set laplace: there are no images to prepare, because its samples are drawn."),
        ({"name": "set11"}, "the set of 11 standard images could not be downloaded"),
    ],
)
def test_faults_are_one_paragraph(tmp_path: Path, spec: dict[str, object], message: str) -> None:
    done = run(tmp_path, **spec)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
