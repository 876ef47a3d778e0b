"""Every command and every block of code in the documents is run, or checked by what would run it."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML
from snakemake.cli import get_argument_parser

from lpn.experiment import Method

from .conftest import ROOT, write_examples
from .test_documents import BLOCK, CODE, DOCUMENTS, blocks, names, rules

PROGRAMS = {"apptainer", "conda", "docker", "make", "mkdocs", "pip", "python", "snakemake", "srun", "uv", "."}
PRINTED = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]  # which has old commands


def commands(path: Path) -> list[str]:
    """Return the commands of a document: the lines of its sh blocks, and words in backticks that begin with a program."""
    lines = "\n".join(blocks(path, "sh")).replace("\\\n", " ").splitlines()
    inline = [
        code
        for code in CODE.findall(BLOCK.sub("", path.read_text("utf-8")))
        if code.partition(" ")[0] in PROGRAMS and " " in code
    ]
    return [part.strip() for line in lines + inline for part in line.split(" && ")]


@cache
def help_of(*program: str) -> str:
    """Return the help of a program of this environment."""
    run = subprocess.run([sys.executable, *program, "--help"], cwd=ROOT, check=True, capture_output=True, text=True)
    return run.stdout


def check_options(words: list[str], known: str) -> None:
    """Fail for an option that the help does not show."""
    for word in words:
        if word.startswith("--"):
            assert re.search(rf"{word.partition('=')[0]}\b", known), word


def check_snakemake(words: list[str]) -> list[str]:
    """Fail for a command line that Snakemake would refuse; return the result files that it asks for."""
    arguments = get_argument_parser().parse_args(words)  # it takes all up to the next option for configurations
    for file in map(str, arguments.configfile or []):
        assert file.endswith(".yaml"), file
        assert not file.startswith("config/") or (ROOT / file).is_file(), file
    files = [target for target in arguments.targets if target.startswith("results/")]
    assert {*arguments.targets} <= {*rules(), *files}
    return files


@cache
def check_command(command: str) -> list[str]:
    """Fail for a command that its program would refuse; return the result files that it asks Snakemake for."""
    program, *words = shlex.split(command, comments=True)
    if program == "snakemake":
        return check_snakemake(words)
    if program == "make":
        subprocess.run(["make", "--dry-run", *words], cwd=ROOT, check=True, capture_output=True)
    elif program == "python" and not words[0].startswith("results/"):  # an archive
        check_options(words, help_of(words[0]))
    elif program == "srun":
        start, script = words.index("torchrun"), words.index("scripts/train.py")
        check_options(words[start:script], help_of("-m", "torch.distributed.run"))
        check_options(words[script:], help_of("scripts/train.py"))
    elif program in ("uv", "pip"):
        assert words[-1].startswith((".[", "snakemake-executor-plugin-")) or words[-2:] == ["install", "."], words[-1]
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert {*re.findall(r"\w+", words[-1])} <= extras.keys() or not words[-1].startswith(".[")
        assert "--constraint" not in words or (ROOT / words[words.index("--constraint") + 1]).is_file()
    elif program == "mkdocs":
        help_of("-m", "mkdocs", words[0])
    else:
        assert program in PROGRAMS, f"no test knows the program {program}"
    return []


@pytest.mark.parametrize("path", PRINTED, ids=names(PRINTED))
def test_commands_are_accepted(path: Path) -> None:
    for command in filter(None, commands(path)):
        if not command.startswith("#"):
            try:
                check_command(command)
            except (SystemExit, subprocess.CalledProcessError) as error:
                pytest.fail(f"{command}: {error}")


@pytest.mark.parametrize(
    "command",
    [
        "snakemake --cores 8 no_such_rule",
        "snakemake --no-such-option",
        "snakemake --configfile config/none.yaml",
        "snakemake --configfile config/demo.yaml curves",
        "make no-such-target",
        "python scripts/train.py --no-such-option",
        "pip install '.[none]'",
        "rm -rf results",
    ],
)
def test_wrong_commands_are_found(command: str) -> None:
    with pytest.raises((AssertionError, SystemExit, subprocess.CalledProcessError)):
        check_command(command)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the photographs, the model and the plug-ins that documents name."""
    monkeypatch.setenv("LPN_DATA", str(tmp_path))
    write_examples(tmp_path)
    (tmp_path / "model.pt").touch()
    for split in ("train", "validation", "test"):
        (tmp_path / "photos" / split).mkdir(parents=True)
    return tmp_path


def test_results_that_documents_ask_for_are_made(own: Path) -> None:
    """They are figures and tables of the papers' configuration."""
    import check
    from artifacts import Artifacts
    from layout import Layout
    from plan import Plan

    paper = check.complete([ROOT / "config/paper.yaml"], {})
    artifacts = Artifacts(Plan(paper["config"], paper["facts"], Layout("paper", own)))
    made = {str(file) for file in artifacts.all_figures + artifacts.all_tables}
    asked = {
        file
        for path in PRINTED
        for command in commands(path)
        if command.startswith("snakemake")
        for file in check_command(command)
    }
    assert len(asked) > 15
    assert asked <= made


def read(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def text_of(path: Path, beginning: str) -> str:
    """Return the only yaml block of a document that begins so."""
    (text,) = (text for text in blocks(path, "yaml") if text.startswith(beginning))
    return text


YAML_BLOCKS = [(path, text) for path in DOCUMENTS for text in blocks(path, "yaml")]


def complete(folder: Path, config: Any) -> dict[str, Any]:
    """Return a configuration complete."""
    import check

    with (folder / "mine.yaml").open("w") as file:
        YAML().dump(config, file)
    return check.complete([folder / "mine.yaml"], {})["config"]


@pytest.mark.parametrize(("path", "text"), YAML_BLOCKS, ids=names([path for path, _ in YAML_BLOCKS]))
def test_settings_are_accepted(path: Path, text: str, own: Path) -> None:
    """Parts of a configuration by laying them over the README's, other settings by what reads them."""
    from configuration import SECTIONS, lay

    values, whole = read(text), read(text_of(ROOT / "README.md", "run:"))
    if "run" in values:
        complete(own, values)
    elif values.keys() == {"operator", "prox"}:
        method = {"denoised": {"title": "A", "solver": "pgd", "prox": values["prox"], "scale": 0.5, "iterations": 3}}
        experiment = {"operator": values["operator"], "methods": ["observation", "denoised"]}
        complete(own, lay(whole, {"methods": method, "experiments": {"deblur_photos": experiment}}))
    elif values.keys() <= {"operator", "methods"} and not isinstance(values.get("methods"), dict):
        complete(own, lay(whole, {"experiments": {"deblur_photos": values}}))
    elif values.keys() <= {*SECTIONS}:
        complete(own, lay(whole, values))
    elif "method" in values:
        Method.model_validate(values["method"])  # of scripts/reconstruct.py, which a test below runs
    else:
        assert {f"--{key}" for key in values} <= get_argument_parser()._option_string_actions.keys()  # a profile


@pytest.mark.parametrize("name", ["README.md", "docs/configuration.md"])
def test_an_own_experiment_is_complete(name: str, own: Path) -> None:
    config = complete(own, read(text_of(ROOT / name, "run:")))
    assert config["data"]["photos"] == {"name": "folder", "path": f"{own}/photos", "side": 256, "grey": False}
    assert [model["data"] for model in config["models"].values()] == ["photos"]
    (experiment,) = config["experiments"].values()
    assert experiment["methods"].keys() == {"observation", "lpn"}
    assert experiment["methods"]["lpn"]["prox"]["model"] in config["models"]


def test_an_own_experiment_is_short() -> None:
    lines = text_of(ROOT / "README.md", "run:").splitlines()
    assert len(lines) <= 14
    assert lines[-1].startswith("make:")
    assert len([line for line in lines[:-1] if line.strip()]) <= 12


def test_the_first_run_is_small(own: Path) -> None:
    """It needs no data, and trains two small networks."""
    config = complete(own, read(text_of(ROOT / "docs/start.md", "run:")))
    assert config["data"].keys() == {"laplace", "photographs"}
    assert {model["network"]["name"] for model in config["models"].values()} == {"lpn_scalar"}
    assert sum(phase["steps"] for model in config["models"].values() for phase in model["phases"]) <= 4000


def execute(path: Path) -> None:
    """Run the python blocks of a document, one after the other."""
    variables: dict[str, Any] = {}
    for text in blocks(path, "python"):
        exec(compile(text, str(path), "exec"), variables)


def test_every_block_says_its_language() -> None:
    found = {(path.name, language) for path in DOCUMENTS for _, language, _ in BLOCK.findall(path.read_text("utf-8"))}
    assert {language for _, language in found} == {"python", "sh", "snakemake", "yaml", ""}  # test_places.py runs a module
    assert [name for name, language in found if not language] == ["CONTRIBUTING.md"]  # the layout of the repository


def test_every_python_block_is_run() -> None:
    """By the tests below, and those of plug-ins.md by test_plug_ins.py, of packages.md by test_packages.py."""
    written = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS if blocks(path, "python")}
    others = {f"docs/{name}" for name in ("plug-ins.md", "measurements.md", "packages.md", "reference/index.md")}
    assert written == {"README.md"} | others


def test_the_code_of_the_reference_reconstructs(capsys: pytest.CaptureFixture[str]) -> None:
    execute(ROOT / "docs/reference/index.md")
    iteration, psnr = capsys.readouterr().out.split()[-2:]
    assert iteration == "30"
    assert float(psnr) > 25


def test_the_measurements_of_the_page_are_reconstructed(
    run: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs/measurements.md"
    monkeypatch.chdir(tmp_path)
    execute(page)
    settings = text_of(page, "operator: {name: circular_blur")
    (points,) = (code for code in CODE.findall(page.read_text("utf-8")) if code.startswith("points:"))
    (tmp_path / "settings.yaml").write_text(settings)
    (tmp_path / "tuning.yaml").write_text(f"{settings}\n{points}")
    for command in [*filter(None, commands(page))][:3]:
        _, script, *words = shlex.split(command)
        run(Path(script).stem, *words)
    assert json.loads(Path("best.json").read_text())["parameters"]["prox.weight"] in (0.0025, 0.005, 0.01)
    iterations = pd.read_csv("iterations.csv").psnr
    assert iterations.iloc[-1] > iterations[0] + 3
    assert pd.read_csv("images.csv").psnr[0] == pytest.approx(iterations.iloc[-1])
