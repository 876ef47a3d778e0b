"""Solvers from a file outside the package."""

import itertools
from pathlib import Path

import pytest
import torch

from lpn.settings import component
from lpn.solvers import Solver, solve
from lpn.solvers.pgd import PGD

from .conftest import ZERO, problem

LANDWEBER = """\
from pydantic import PositiveFloat
from lpn.denoisers import evaluate
from lpn.solvers import Iterate, Solver, squared


class Landweber(Solver):
    step: PositiveFloat = 0.1

    def iterates(self, problem, prox, x):
        while True:
            before, v = x, x - self.step * problem.gradient(x)
            x, regulariser = evaluate(prox, v)
            zero = x.new_zeros(len(x))
            yield Iterate(x, x, v, zero, squared(x - before).sqrt() / self.step, zero, regulariser)
"""


def plug_in(path: Path, text: str = LANDWEBER, **settings: float) -> Solver:
    path.write_text(text)
    solver = component("solver", f"{path}:Landweber").model_validate({"name": f"{path}:Landweber", **settings})
    assert isinstance(solver, Solver)
    return solver


def test_a_solver_outside_the_package(tmp_path: Path) -> None:
    given, solver = problem("blur"), plug_in(tmp_path / "landweber.py", step=0.5)
    pairs = zip(*(itertools.islice(solve(s, given, lambda v: v / 2, ZERO), 5) for s in (solver, PGD(step=0.5))), strict=True)
    for ours, expected in pairs:
        torch.testing.assert_close(ours.x, expected.x)
        torch.testing.assert_close(ours.dual, expected.dual)
    assert solver.regulariser_weight(given) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Iterate(x, x, v", "Iterate(x[..., 1:], x, v", r"bad\.py:Landweber yields 'x' as torch.float64 \(2, 1, 16, 15\)"),
        ("Iterate(x, x, v", "Iterate(x, x.float(), v", r"bad\.py:Landweber yields 'z' as torch.float32"),
        ("zero, regulariser", "zero[:1], regulariser", r"bad\.py:Landweber yields 'cg_iterations' as torch.float64 \(1,\)"),
        ("zero, regulariser", "0, regulariser", r"bad\.py:Landweber yields 'cg_iterations' as int, but it must be a tensor"),
        ("Iterate(x, x, v", "(x, x, v", r"bad\.py:Landweber yields tuple; a solver yields `lpn.solvers.Iterate`"),
        ("before, v = x", "before, v = y", r"bad\.py, line 11: NameError: name 'y' is not defined"),
        ("yield Iterate", "return Iterate", r"bad\.py: TypeError: 'Iterate' object is not iterable"),
    ],
)
def test_faults_name_the_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    solver = plug_in(tmp_path / "bad.py", LANDWEBER.replace(old, new))
    with pytest.raises(ValueError, match=message):
        next(solve(solver, problem("blur"), lambda v: v / 2, ZERO))
