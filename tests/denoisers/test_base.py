"""What all denoisers share: their choice by name, and denoisers in files of the user's."""

import re
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from denoisers.conftest import chosen, draw
from lpn.denoisers import as_prox
from lpn.denoisers.learned import Learned
from lpn.denoisers.tv import TV
from lpn.settings import component, names, sentences

DAMPED = """
import torch
from pydantic import Field

from lpn.denoisers import Denoiser


class Damped(Denoiser):
    share: float = Field(0.5, ge=0, le=1, description="share of the image that is kept")

    def __call__(self, v):
        kept = self.share * v
        return kept
"""


def refused(**values: object) -> str:
    """Return the sentence that refuses the settings of a denoiser."""
    with pytest.raises(ValidationError) as fault:
        chosen(**values)
    (sentence,) = sentences(fault.value)
    return sentence


def test_denoisers_are_chosen_by_name() -> None:
    assert chosen(name="tv", weight=0.1) == TV(weight=0.1)
    assert chosen(model="celeba") == Learned(model="celeba")
    assert TV(weight=0.1).name == "tv"
    assert names("prox") == ["bm3d", "deepinv", "learned", "nlm", "tv", "wavelet"]
    assert all(component("prox", name).__doc__ for name in names("prox"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "magic"}, f"unknown prox 'magic'.*{', '.join(names('prox'))}"),
        ({}, "lacks 'name'.*bm3d, deepinv, learned"),
        ({"name": "tv"}, "'prox' lacks 'weight'"),
        ({"name": "tv", "weight": 0}, "'prox.weight' is 0: input should be greater than 0"),
        ({"name": "tv", "weight": 1, "strength": 1}, "unknown key 'strength'"),
        ({"name": "wavelet", "weight": 1, "family": "dbb4"}, r"key 'prox\.family': 'dbb4' is no orthogonal wavelet"),
    ],
)
def test_bad_settings_are_refused(values: dict, message: str) -> None:
    assert re.search(message, refused(**values))


def test_output_is_clipped_if_the_settings_say_so() -> None:
    v = 3 * draw(2, 1, 8, 8) - 1
    free, clipped = (as_prox(TV(weight=0.01, clip=clip)) for clip in (False, True))
    assert free(v).min() < 0
    torch.testing.assert_close(clipped(v), free(v).clamp(0, 1), rtol=0, atol=0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "damped.py"
    path.write_text(DAMPED)
    return path


def test_a_plug_in_is_a_denoiser(file: Path) -> None:
    v = draw(2, 3, 8, 8).float()
    denoiser = chosen(name=f"{file}:Damped", share=0.25)
    torch.testing.assert_close(as_prox(denoiser)(v), v / 4)
    assert refused(name=f"{file}:Damped", share=2) == "key 'prox.share' is 2: input should be less than or equal to 1."


def test_files_that_are_missing_or_do_not_run_are_named(file: Path) -> None:
    assert f"the file {file.with_name('other.py')} of the prox 'Damped' does not exist" in refused(
        name=f"{file.with_name('other.py')}:Damped"
    )
    broken = file.with_name("broken.py")
    broken.write_text("import torch\nimport no_such_package\n")
    assert f"{broken}, line 2 does not run (ModuleNotFoundError" in refused(name=f"{broken}:Damped")
    sentence = refused(name=f"{file}:Median")
    assert f"{file} has no class Median that is a Denoiser (from lpn.denoisers import Denoiser)" in sentence
    assert "of that kind it has: Damped." in sentence


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("kept.double()", r"returned torch.float64 \(2, 3, 8, 8\) for torch.float32 \(2, 3, 8, 8\)"),
        ("kept[:, :1]", r"returned torch.float32 \(2, 1, 8, 8\) for torch.float32 \(2, 3, 8, 8\)"),
        ("None", "returned NoneType for torch.float32"),
        ("kept.numpy()", "returned ndarray for"),
    ],
)
def test_results_of_another_shape_or_dtype_are_refused(file: Path, result: str, message: str) -> None:
    file.write_text(DAMPED.replace("return kept", f"return {result}"))
    with pytest.raises(ValueError, match=rf"damped\.py:Damped {message}.*must be those of its input, e\.g\. by `\.to\(v\)`"):
        as_prox(chosen(name=f"{file}:Damped"))(draw(2, 3, 8, 8).float())


def test_the_line_of_an_error_is_named(file: Path) -> None:
    text = DAMPED.replace("return kept", "return kept.nonsense()")
    file.write_text(text)
    line = text[: text.index("nonsense")].count("\n") + 1
    with pytest.raises(ValueError, match=rf"^{re.escape(str(file))}, line {line}: AttributeError: .*nonsense"):
        as_prox(chosen(name=f"{file}:Damped"))(draw(2, 3, 8, 8))


def test_a_denoiser_that_denoises_nothing_is_refused(file: Path) -> None:
    file.write_text(DAMPED.replace("__call__", "denoise"))
    with pytest.raises(ValueError, match=r"damped\.py.*Damped lacks the method __call__"):
        as_prox(chosen(name=f"{file}:Damped"))(draw(2, 3, 8, 8))
