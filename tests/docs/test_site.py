"""The documentation site is complete, needs no network, and documents every public name."""

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from types import ModuleType

import pytest

import lpn

from .conftest import ROOT

MODULES = [
    module.name
    for module in pkgutil.walk_packages(lpn.__path__, "lpn.")
    if not any(part.startswith("_") for part in module.name.split("."))
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages of the site, by their paths. A broken link or anchor, or a page that no menu shows, ends the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    build = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, env=environment)
    assert build.returncode == 0, build.stderr
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.html")}


def test_every_page_is_there(site: dict[str, str]) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in ROOT.glob("docs/**/*.md")}
    assert site.keys() == pages | {"404.html"}


def test_pages_need_no_network(site: dict[str, str]) -> None:
    for name, page in site.items():
        tags = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", page)
        assert not [tag for tag in tags if "//" in tag and 'rel="canonical"' not in tag], name
        assert "@import" not in page


def test_formulas_are_mathml(site: dict[str, str]) -> None:
    assert site["prior.html"].count("<math") > 10
    for name, page in site.items():
        mangled = "klzzwxh" in re.sub(r"</?mi>", "", page)
        assert not mangled, f"{name}: Markdown takes \\| \\_ \\{{ from formulas; write \\lVert, \\lbrace"
        assert not re.search(r"<m[ion][^>]*>\\", page), f"{name}: a command that latex2mathml does not know"
        text = re.sub(r"<(code|pre|script)\b.*?</\1>", "", page, flags=re.DOTALL)
        assert "$$" not in text, name


def test_angle_brackets_stay(site: dict[str, str]) -> None:
    """Markdown takes <A x, y> for HTML, which browsers hide, and a line that begins with > for a quotation."""
    for name, page in site.items():
        text = re.sub(r"<(script|style|svg)\b.*?</\1>", "", page, flags=re.DOTALL)
        assert not re.findall(r"<[A-Z][^>]*>|<\w+,[^>]*>|<blockquote", text), name


def test_every_public_module_is_in_the_reference(site: dict[str, str]) -> None:
    reference = "".join(page for name, page in site.items() if name.startswith("reference/"))
    absent = [name for name in MODULES if f'id="{name}"' not in reference]
    assert not absent, f"add ::: {' '.join(absent)} to a page of docs/reference"


def public(module: ModuleType) -> list[tuple[str, object]]:
    """Return the public classes and functions of a module, with those that a package gives in `__all__`."""
    own = [(name, value) for name, value in vars(module).items() if inspect.isclass(value) or inspect.isfunction(value)]
    listed = getattr(module, "__all__", ())
    return [(name, v) for name, v in own if name in listed or (v.__module__ == module.__name__ and not name.startswith("_"))]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name: str) -> None:
    """A method may have that of the class which it comes from."""
    module = importlib.import_module(name)
    assert module.__doc__
    for found, value in public(module):
        assert inspect.getdoc(value), found
        members = vars(value) if inspect.isclass(value) else {}
        for member, part in members.items():
            is_code = inspect.isfunction(part) or isinstance(part, property | classmethod | staticmethod)
            if is_code and (not member.startswith("_") or member == "__call__"):
                assert inspect.getdoc(getattr(value, member)), f"{found}.{member}"
