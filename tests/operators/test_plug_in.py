"""Operators in files of the user's: one that works, and every fault with its file, line and remedy."""

import re
from pathlib import Path
from typing import Annotated

import pytest
import torch
from pydantic import ValidationError

from lpn.operators import OperatorSettings, build_operator
from lpn.settings import Choice, Settings, files, sentences

MASK = """
import torch
from pydantic import Field

from lpn.operators import LinearOperator, OperatorSettings
from lpn.seeds import torch_generator
from lpn.settings import File


class Mask(LinearOperator):
    def __init__(self, input_shape, share, seed):
        super().__init__(input_shape, input_shape)
        generator = torch_generator(seed, "mask")
        self.mask = 2.0 * (torch.rand(input_shape[1:], generator=generator) < share)

    def _forward(self, x):
        return x * self._constant("mask", x)

    def _adjoint(self, y):
        return y * self._constant("mask", y)


class MaskSettings(OperatorSettings):
    share: float = Field(0.5, gt=0, le=1, description="share of pixels that are kept")
    file: File = "none.npy"

    def check(self, input_shape):
        if input_shape[1] % 2:
            raise ValueError("an odd number of rows")

    def build(self, input_shape, seed):
        return Mask(input_shape, self.share, seed)
"""
SHAPE = (2, 6, 5)


class Experiment(Settings):
    operator: Annotated[OperatorSettings, Choice("operator")]


def chosen(path: Path, name: str = "MaskSettings", **values: object) -> OperatorSettings:
    """Return the settings of an operator in a file."""
    return Experiment.model_validate({"operator": {"name": f"{path}:{name}", **values}}).operator


def refused(path: Path, name: str = "MaskSettings", **values: object) -> str:
    """Return the sentence that refuses the settings of an operator in a file."""
    with pytest.raises(ValidationError) as fault:
        chosen(path, name, **values)
    (sentence,) = sentences(fault.value)
    return sentence


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    path = tmp_path / "mask.py"
    path.write_text(MASK)
    return path


def changed(path: Path, old: str, new: str) -> int:
    """Change the file, and return the number of the line that is changed."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


def test_a_plug_in_is_an_operator(mask: Path) -> None:
    operator = build_operator(chosen(mask, share=0.3), SHAPE, seed=1)
    x = torch.rand(3, *SHAPE, dtype=torch.float64)
    assert ((operator(x) == 0) | (operator(x) == 2 * x)).all()
    assert operator.norm == pytest.approx(2)
    again = build_operator(chosen(mask, share=0.3), SHAPE, seed=1)
    torch.testing.assert_close(again(x), operator(x), rtol=0, atol=0)
    assert files(chosen(mask, file="data.npy")) == ["data.npy"]


def test_its_settings_are_checked(mask: Path) -> None:
    assert refused(mask, share=2) == "key 'operator.share' is 2: input should be less than or equal to 1."
    assert refused(mask, shar=1) == "key 'operator': unknown key 'shar'; did you mean 'share'?"


def test_files_that_are_missing_or_do_not_run_are_named(mask: Path) -> None:
    assert refused(mask.with_name("other.py")) == (
        f"key 'operator': the file {mask.with_name('other.py')} of the operator 'MaskSettings' does not exist."
    )
    broken = mask.with_name("broken.py")
    broken.write_text(MASK)
    line = changed(broken, "from lpn.seeds", "import no_such_package; from lpn.seeds")
    assert f"{broken}, line {line} does not run (ModuleNotFoundError: No module named 'no_such_package')" in refused(broken)
    unfinished = mask.with_name("unfinished.py")
    unfinished.write_text("def f(:\n    pass\n")
    assert f"{unfinished}, line 1 does not run (SyntaxError" in refused(unfinished)


def test_a_missing_class_is_named(mask: Path) -> None:
    sentence = refused(mask, "Masks")
    assert f"{mask} has no class Masks that is an OperatorSettings (from lpn.operators import OperatorSettings)" in sentence
    assert "of that kind it has: MaskSettings." in sentence
    assert "has no class Mask that is" in refused(mask, "Mask")  # the operator, where its settings belong


def test_images_that_do_not_fit_are_refused(mask: Path) -> None:
    with pytest.raises(ValueError, match=r"mask\.py, line \d+: ValueError: an odd number of rows"):
        build_operator(chosen(mask), (2, 5, 6), seed=0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("return x * self", "return x.sum(1) * self", r"A x is .*\(1, 6, 5\), but it must be .*\(1, 2, 6, 5\)"),
        ("return x * self", "return x.double() * self", "A x is torch.float64 .*must be torch.float32"),
        ("return x * self", "return x.tolist()  #", r"A x is list, but it must be torch.float32 \(1, 2, 6, 5\)"),
        ("return y * self", "return y[..., 1:]  #", r"A\^T y is .*\(1, 2, 6, 4\), but it must be .*\(1, 2, 6, 5\)"),
        ("return y * self", "return (y - 1) * self", r"adjoint is not .*<A x, y> = .*_adjoint"),
        ("return y * self", "return 0.99 * y * self", r"adjoint is not .*<x, A\^T y> = .*_forward"),
        ("return y * self", "return -y * self", "adjoint is not"),
        ("return y * self", "return float('nan') * y * self", "adjoint is not"),
        ("return y * self", "return y.roll(1, -1) * self", "adjoint is not"),
        ("return Mask(input_shape, self.share, seed)", "Mask(input_shape, self.share, seed)", "NoneType; it must return"),
        ("return Mask(input_shape,", "return Mask((1, *input_shape[1:]),", r"input_shape is \(1, 6, 5\), but .*\(2, 6, 5\)"),
    ],
)
def test_operators_with_faults_are_refused(mask: Path, old: str, new: str, message: str) -> None:
    changed(mask, old, new)
    with pytest.raises(ValueError, match=rf"mask\.py:MaskSettings: .*{message}"):
        build_operator(chosen(mask), SHAPE, seed=0)


@pytest.mark.parametrize("old", ["return x * self", "return y * self", "return Mask(", "generator = torch_"])
def test_the_line_of_an_error_is_named(mask: Path, old: str) -> None:
    line = changed(mask, old, f"1 / 0; {old}")
    with pytest.raises(ValueError, match=rf"^{re.escape(str(mask))}, line {line}: ZeroDivisionError: division by zero"):
        build_operator(chosen(mask), SHAPE, seed=0)


def test_an_operator_without_an_adjoint_is_refused(mask: Path) -> None:
    changed(mask, "def _adjoint", "def adjoint")
    with pytest.raises(ValueError, match=r"mask\.py, line \d+: TypeError: .*abstract.*_adjoint"):
        build_operator(chosen(mask), SHAPE, seed=0)


def test_settings_that_build_nothing_are_refused(mask: Path) -> None:
    changed(mask, "def build", "def make")
    with pytest.raises(ValueError, match=r"mask\.py.*MaskSettings lacks the method build"):
        build_operator(chosen(mask), SHAPE, seed=0)


def test_a_wrong_adjoint_of_large_images_is_found(mask: Path) -> None:
    """Large random vectors are almost orthogonal: a random image and random measurements alone would not show it."""
    changed(mask, "return y * self", "return 1.01 * y * self")
    with pytest.raises(ValueError, match="adjoint is not"):
        build_operator(chosen(mask), (3, 256, 256), seed=0)
