import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest
from conftest import ROOT
from pydantic import Field, PositiveInt

from lpn.errors import UserError
from lpn.files import WRITTEN, write_text
from lpn.settings import File, Settings


class Spec(Settings):
    """Settings of a job."""

    rate: float = Field(description="the rate, in Hz")
    count: PositiveInt = Field(default=3, description="how many")
    kernel: Literal["box"] | File | None = None


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that scripts share."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import _cli

    return _cli


def test_settings_are_text_or_files(cli: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are those of YAML 1.2, and paths start at the file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/spec.yaml").write_text("rate: 1e-3\nkernel: kernels.npz\n")
    (tmp_path / "folder/spec.json").write_text('{"rate": 1e-3, "kernel": "kernels.npz"}')
    text = cli.read_spec('{"rate": 1e-3, "kernel": "folder/kernels.npz"}', Spec)
    assert text == Spec(rate=1e-3, count=3, kernel="folder/kernels.npz")
    assert cli.read_spec("folder/spec.yaml", Spec) == cli.read_spec("folder/spec.json", Spec) == text
    (tmp_path / "folder/spec.yaml").write_text("rate: 1\nkernel: box\n")
    assert cli.read_spec("folder/spec.yaml", Spec) == Spec(rate=1.0, kernel="box")


def test_settings_are_utf8_whatever_the_system_writes(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("label: größer\n", encoding="utf-8")
    code = "import sys; from _cli import read_mapping; print(ascii(read_mapping(sys.argv[1])))"
    paths = {"PYTHONPATH": f"{ROOT / 'scripts'}{os.pathsep}{ROOT}"}
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, str(tmp_path / "spec.yaml")]
    run = subprocess.run(command, env=os.environ | paths | ascii_only, check=True, capture_output=True, text=True)
    assert run.stdout == r"{'label': 'gr\xf6\xdfer'}" + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the settings  ?can't be read"),
        ("none.yaml", "the settings none.yaml can't be read"),
        ('{"rate": 1, "rate": 2}', "the key 'rate' is there twice"),
        ('{"count": 1}', "key 'top level' lacks 'rate'"),
        ('{"rate": 1, "count": 0}', "key 'count' is 0"),
        ('{"rate": 1, "cuont": 1}', "unknown key 'cuont'; did you mean 'count'"),
        ('{"rate": "fast", "count": 1.5}', "key 'rate' is 'fast'.*key 'count' is 1.5"),
        ("twice.yaml", r"(?s)twice\.yaml are no valid YAML.*duplicate key"),
        ("broken.yaml", "broken.yaml are no valid YAML"),
        ("list.yaml", "must be a mapping of keys to values"),
        ("[1]", r"the settings \[1\] must be a mapping of keys to values"),
    ],
)
def test_faults_are_named(cli: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twice.yaml").write_text("rate: 1\nrate: 2\n")
    (tmp_path / "broken.yaml").write_text("rate: [1\n")
    (tmp_path / "list.yaml").write_text("- rate\n")
    with pytest.raises(UserError, match=message):
        cli.read_spec(text, Spec)


def test_help_describes_the_settings(cli: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parser("What it does.", Spec).parse_args(["--help"])
    text = capsys.readouterr().out
    assert "What it does." in text
    assert "rate: the rate, in Hz" in text
    assert re.search(r"count: how many \(.*default: 3\)", text)


def test_a_job_ends_its_log_with_a_record(cli: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    WRITTEN.clear()
    cli.run_job(lambda: write_text(tmp_path / "a", "x"))
    *_, line = capsys.readouterr().out.splitlines()
    assert str(tmp_path / "a") in json.loads(line.removeprefix(cli.START))["files"]
    with pytest.raises(SystemExit):
        cli.run_job(lambda: cli.read_spec("{", Spec))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5"])
def test_numbers_of_threads_are_positive(cli: ModuleType, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = cli.parser("What it does.")
    cli.add_threads(arguments)
    assert arguments.parse_args(["--threads", "2"]).threads == 2
    with pytest.raises(SystemExit):
        arguments.parse_args([f"--threads={number}"])
    assert f"argument --threads: must be a positive integer, not '{number}'" in capsys.readouterr().err
