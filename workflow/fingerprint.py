"""Fingerprint of the code that a job runs, so that an edit reruns exactly the jobs whose results it can change.

Snakemake does not notice changes in imported modules. A rule therefore has a fingerprint as a param: a hash over the syntax
trees of its script, of the components that its settings name (operators, networks, ...), and of every module of the
package that these import. Comments, docstrings, annotations, formatting, and the text of messages and help do not count.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import grimp

from lpn.settings import KINDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "lpn"
OBSERVERS = {"lpn.record"}  # modules that say how a result was made, and never change it
MESSAGES = {"print", "warn", "exit", "parser"}  # functions whose arguments are read by people alone
SHOWN = {"Field", "Parser", "add_argument", "add_output", "tqdm", "first_good"}  # functions that take, among others,
TEXTS = {"help", "description", "desc", "unit"}  # keyword arguments that people alone read


class _Meaning(ast.NodeTransformer):
    """Removes what can't change results."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
            setattr(node, "body", kept or [ast.Pass()])  # noqa: B010 - not every node has one
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in MESSAGES:
            node.args, node.keywords = [], []
        if name in SHOWN:
            node.keywords = [keyword for keyword in node.keywords if keyword.arg not in TEXTS]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def _tree(path: Path) -> ast.Module:
    """Return the syntax tree of a Python file, or of the code cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        lines = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code").splitlines()
        text = "\n".join(line for line in lines if not line.startswith("%"))  # IPython's commands
    return ast.parse(text, filename=str(path))


@cache
def meaning(path: Path) -> str:
    """Return a Python file, or the code of a notebook, without what can't change results."""
    return ast.unparse(_Meaning().visit(_tree(path)))  # not ast.dump, which differs between Python versions


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, cache_dir=None, exclude_type_checking_imports=True)


def _module_path(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _module_name(path: Path) -> str | None:
    """Return the name of a module of the package; None for other files."""
    if not path.is_relative_to(ROOT / PACKAGE):
        return None
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _imports(path: Path) -> tuple[set[str], set[Path]]:
    """Return the package's modules, and the files beside it, that a file imports."""
    modules, neighbours = set(), set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        modules |= {name for name in names if name in _graph().modules}
        neighbours |= {file for name in names if (file := path.with_name(f"{name}.py")).exists()}
    return modules, neighbours


@cache
def _upstream(module: str) -> set[str]:
    """Return all modules of the package that a module imports, directly or not."""
    return _graph().find_upstream_modules(module)


def _with_parents(module: str) -> set[str]:
    parts = module.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts) + 1)}


def own_files(*entries: Path) -> tuple[set[Path], set[str]]:
    """Return scripts, notebooks or plug-ins with the files beside them that they import, and modules of the package."""
    pending, files, modules = list(entries), set[Path](), {PACKAGE}
    while pending:
        path = pending.pop()
        if module := _module_name(path):
            modules.add(module)
        elif path not in files:
            files.add(path)
            imported, neighbours = _imports(path)
            pending += neighbours
            modules |= imported
    return files, modules


def code_files(*entries: Path) -> tuple[Path, ...]:
    """Return every file that running `entries` (scripts, notebooks, modules, plug-ins) can execute, sorted."""
    others, modules = own_files(*entries)
    upstream = modules.union(*map(_upstream, modules))
    packages = {parent for module in upstream for parent in _with_parents(module)}
    packages |= packages.union(*map(_upstream, packages))
    return tuple(sorted(others | {_module_path(module) for module in packages - OBSERVERS}))


def components(settings: Any) -> set[Path]:
    """Return the files of the components that settings name, at any depth."""
    found: set[Path] = set()
    for key, value in settings.items() if isinstance(settings, Mapping) else ():
        if key in KINDS and isinstance(value, Mapping) and value.get("name"):
            found.add(component_file(key, str(value["name"])))
        found |= components(value)
    for value in settings if isinstance(settings, list) else ():
        found |= components(value)
    return found


@cache
def component_file(kind: str, name: str) -> Path:
    """Return the file of a component: a built-in one, or FILE.py:CLASS."""
    path, colon, _ = name.rpartition(":")
    return Path(path).resolve() if colon else _module_path(f"{KINDS[kind]}.{name}")


def fingerprint(script: str, settings: Any = None, extra: Iterable[Path] = ()) -> str:
    """Return 16 hexadecimal digits of the code that a job runs: `script`, relative to the repository, by its settings."""
    return _digest(ROOT / script, *sorted({*components(settings), *extra}))


@cache
def _digest(*entries: Path) -> str:
    digest = hashlib.sha256()
    for path in code_files(*entries):
        name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        digest.update(f"{name}\n{meaning(path)}\n".encode())
    return digest.hexdigest()[:16]
