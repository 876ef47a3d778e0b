"""Fingerprint of the code that a script runs, so that a real edit reruns exactly the jobs that depend on it.

Snakemake does not notice changes in imported modules. A rule therefore has the fingerprint of its script as a param: a
hash over the syntax trees of the script and of every project module it imports, directly or not. Comments, docstrings
and formatting are not part of a syntax tree's meaning and do not count.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "lpn"


class _WithoutDocstrings(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            node.body = body[1:] or [ast.Pass()]
        return node


@cache
def _meaning(path: Path) -> str:
    tree = _WithoutDocstrings().visit(ast.parse(path.read_text(), filename=str(path)))
    return ast.unparse(tree)  # not ast.dump, which differs between Python versions


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, cache_dir=None)


def _module_path(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _script_imports(path: Path) -> tuple[set[str], set[Path]]:
    """Return the package's modules, and the scripts beside it, that a script imports."""
    modules, scripts = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        modules |= {name for name in names if name in _graph().modules}
        scripts |= {script for name in names if (script := path.with_name(f"{name}.py")).exists()}
    return modules, scripts


@cache
def code_files(script: str) -> tuple[Path, ...]:
    """Return every project file that running `script` (relative to the repository) can execute, sorted."""
    pending, files, modules = [ROOT / script], set(), {PACKAGE}
    while pending:
        path = pending.pop()
        if path not in files:
            files.add(path)
            imported, scripts = _script_imports(path)
            pending += scripts
            modules |= imported
    modules |= {upstream for module in modules for upstream in _graph().find_upstream_modules(module)}
    return tuple(sorted(files | {_module_path(module) for module in modules}))


@cache
def fingerprint(script: str) -> str:
    """Return 16 hexadecimal digits that change when, and only when, code that `script` can run changes."""
    digest = hashlib.sha256()
    for path in code_files(script):
        digest.update(f"{path.relative_to(ROOT)}\n{_meaning(path)}\n".encode())
    return digest.hexdigest()[:16]
