"""What the documents say is so: links, files and rules."""

import re
import textwrap
from pathlib import Path

import pytest

from .conftest import ROOT

DOCUMENTS = sorted(path for folder in (".", "docs", "docs/reference", "config") for path in (ROOT / folder).glob("*.md"))
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")
CODE = re.compile(r"`([^`\n]+)`")
PLACES = ("config", "docs", "lpn", "scripts", "tests", "workflow")  # the folders of the repository
MADE = ("data/", "results/", "logs/", "photos/", "prepared/", "kernels/", "figures/", "tables/")  # by a run, or the reader's


def names(paths: list[Path]) -> list[str]:
    """Return paths relative to the repository."""
    return [path.relative_to(ROOT).as_posix() for path in paths]


def blocks(path: Path, language: str) -> list[str]:
    """Return the blocks of a language in a document."""
    return [textwrap.dedent(text) for _, found, text in BLOCK.findall(path.read_text("utf-8")) if found == language]


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=names(DOCUMENTS))
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in LINK.findall(path.read_text("utf-8")):
        if "://" not in target:
            file = path.parent / target
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def test_documents_are_reached_from_the_readme() -> None:
    reached, pending = set[Path](), [ROOT / "README.md"]
    while pending:
        path = pending.pop()
        if path not in reached and path.suffix == ".md":
            reached.add(path)
            pending += [(path.parent / target).resolve() for target, _ in LINK.findall(path.read_text("utf-8"))]
    assert {path for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")} <= reached


def missing(word: str) -> str | None:
    """Return a path, or a part of the package, that a word in backticks names and that does not exist; else None."""
    word = word.rstrip("/.,:")
    if re.search(r"[<>*$~|{}]|://|FILE|\.\.\.", word) or f"{word}/".startswith(MADE):
        return None
    if word.partition("/")[0] in PLACES and "/" in word:
        return None if (ROOT / word).exists() else word
    if re.fullmatch(r"lpn(\.\w+)+", word):
        parts = word.split(".")
        ends = [
            end for end in range(len(parts), 0, -1) if ROOT.joinpath(*parts[:end]).is_dir() or module(parts[:end]).is_file()
        ]
        whole = bool(ends) and (ends[0] == len(parts) or defines(parts[: ends[0]], parts[ends[0]]))
        return None if whole else word
    return None


def module(parts: list[str]) -> Path:
    """Return the file of a module."""
    return ROOT.joinpath(*parts).with_suffix(".py")


def defines(parts: list[str], name: str) -> bool:
    """Return whether a module, or a package, has a name."""
    file = module(parts) if module(parts).is_file() else ROOT.joinpath(*parts, "__init__.py")
    return re.search(rf"\b{name}\b", file.read_text("utf-8")) is not None


@pytest.mark.parametrize("path", DOCUMENTS, ids=names(DOCUMENTS))
def test_files_that_documents_name_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    if path.name == "CHANGELOG.md":
        text = text.partition("### How to rewrite")[0]  # the table after it has old names
    inline = CODE.findall(BLOCK.sub("", text))
    fenced = [block for language in ("", "sh", "python") for block in blocks(path, language)]
    words = [word.strip("\"'()`,;:") for code in inline + fenced for word in re.split(r"[\s=]+", code)]
    assert not [word for word in words if missing(word)]


def test_the_layout_of_the_repository_is_as_shown() -> None:
    """Files and folders that CONTRIBUTING.md names without their place are somewhere in the folders of the repository."""
    there = {f"{part.name}/" if part.is_dir() else part.name for place in PLACES for part in (ROOT / place).rglob("*")}
    there |= {part.name for part in ROOT.iterdir()}
    (layout,) = blocks(ROOT / "CONTRIBUTING.md", "")
    words = re.findall(r"(?<![\w/])\w+(?:\.(?:py|yaml)|/)(?=[\s,;:()])", layout)
    assert len(words) > 20
    assert {*words} <= there | {f"{place}/" for place in PLACES}


def test_words_that_name_files() -> None:
    assert missing("scripts/no_such_script.py") == "scripts/no_such_script.py"
    assert missing("lpn.prior.no_such_name") == "lpn.prior.no_such_name"
    assert missing("lpn.nothing") == "lpn.nothing"
    assert missing("scripts/train.py") is missing("lpn.prior.regulariser") is missing("results/<run>/x") is None


def rules() -> set[str]:
    """Return the rules of the workflow."""
    files = [ROOT / "workflow/Snakefile", *ROOT.glob("workflow/rules/*.smk")]
    return {name for file in files for name in re.findall(r"^rule (\w+):", file.read_text("utf-8"), re.MULTILINE)}


def test_rules_that_documents_name_exist() -> None:
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        named = re.findall(r"--(?:set-threads|set-resources|forcerun) (\w+)", text)
        named += re.findall(r"^  (\w+): \{(?:slurm_partition|mem_mb|gpu)", text, re.MULTILINE)
        assert {*named} <= rules(), path.name


def test_the_data_folders_of_the_page_are_those_of_the_code() -> None:
    """The first column of the table of own copies names built-in data sets."""
    from lpn.settings import names as components

    table = (ROOT / "docs/data.md").read_text("utf-8").partition("| data set | files |")[2]
    named = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in table.splitlines()[2:] if row.startswith("|")))
    assert named
    assert {*named} <= {*components("dataset")}


def test_the_code_of_the_readme_does_what_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = blocks(ROOT / "README.md", "python")
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {})
    failures, errors, regularisers = capsys.readouterr().out.splitlines()
    assert failures == "()"
    before, after = map(float, errors.split())
    assert after < 0.1 * before
    clean, noisy = map(float, regularisers.split())
    assert clean < noisy
