"""Files of the user's: the modules that they are, and where an error arose in them."""

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

MODULES: dict[str, ModuleType] = {}  # by absolute path


def load(path: str) -> ModuleType:
    """Return the module that a Python file is. It is run once, and may import files beside it.

    Raises ValueError, with the line, for a file that does not run.
    """
    file = Path(path).resolve()
    if str(file) in MODULES:
        return MODULES[str(file)]
    spec = importlib.util.spec_from_file_location(f"plug_in_{file.stem}_{len(MODULES)}", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    sys.path.append(str(file.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        text = str(error).splitlines()[0] if str(error) else ""
        raise ValueError(f"{path}{line_of(error, file)} does not run ({type(error).__name__}: {text}).") from error
    return MODULES.setdefault(str(file), module)


def line_of(error: BaseException, file: Path) -> str:
    """Return ", line 7" where an error arose in a file."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f", line {lines[-1]}" if lines else ""


def plug_in_fault(error: BaseException) -> str | None:
    """Return an error that arose in a file of the user's, with the file and the line; None for other errors."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, NotImplementedError) and MODULES:
        return f"a class of {' or '.join(MODULES)} lacks `{frames[-1].name}`, which {frames[-1].filename} describes"
    own = [f"{frame.filename}, line {frame.lineno}" for frame in frames if frame.filename in MODULES]
    return f"{own[-1]}: {type(error).__name__}: {error}" if own else None
