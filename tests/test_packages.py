"""Optional packages: what is missing is named with the command that installs it."""

import importlib
import sys

import pytest

from lpn.errors import UserError
from lpn.packages import load_package


@pytest.mark.parametrize("module", ["lpn.adapters.deepinv", "lpn.adapters.odl"])
def test_adapters_name_the_package_that_they_need(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = module.rpartition(".")[2]
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name == module or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=rf"{module} needs the package {package}: pip install --editable '.\["):
        importlib.import_module(module)


def test_a_missing_package_is_refused_with_the_command() -> None:
    with pytest.raises(UserError, match=r"^x needs the package nothing \(No .*\). Install it: pip install nothing\.$"):
        load_package("nothing", "x", "pip install nothing")
