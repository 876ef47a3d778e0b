"""Linear operators of deepinv, against deepinv itself and dense matrices."""

import sys
from typing import Any

import numpy as np
import pytest
import torch
from deepinv import physics
from torch import Tensor

from lpn.errors import UserError
from lpn.operators import OperatorSettings
from lpn.operators.deepinv import DeepinvOperator
from lpn.packages import missing
from operators.conftest import build, dense, draw, settings

SHAPE = (3, 8, 10)
CASES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "Inpainting": (SHAPE, {"mask": 0.4}),
    "MRI": ((2, 8, 8), {"img_size": [8, 8]}),
    "Blur": (SHAPE, {"filter": [[[[0.1, 0.2, 0.3], [0.1, 0.1, 0.2], [0.0, 0.0, 0.0]]]], "padding": "circular"}),
    "Downsampling": (SHAPE, {"factor": 2, "filter": "gaussian"}),
    "CompressedSensing": (SHAPE, {"m": 20}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_adjoint_and_the_norm_are_those_of_the_matrix(name: str) -> None:
    shape, arguments = CASES[name]
    operator = build("deepinv", shape, physics=name, arguments=arguments)
    matrix = dense(operator)
    y = draw(2, *operator.output_shape)
    torch.testing.assert_close(operator.adjoint(y).flatten(1), y.flatten(1) @ matrix, rtol=1e-4, atol=1e-5)
    assert operator.adjoint(y).dtype == torch.float64
    assert operator.norm == pytest.approx(torch.linalg.matrix_norm(matrix, 2).item(), rel=1e-4)


def test_it_is_deepinvs_operator() -> None:
    mask = draw(*SHAPE) > 0
    given = physics.Inpainting(SHAPE, mask=mask.float(), noise_model=physics.GaussianNoise(0.5))
    x = draw(2, *SHAPE).float()
    torch.testing.assert_close(DeepinvOperator(given, SHAPE)(x), x * mask)


def test_what_is_random_comes_from_the_seed() -> None:
    masks = [build("deepinv", SHAPE, seed, physics="Inpainting", arguments={"mask": 0.4}).arrays() for seed in (1, 1, 2)]
    before = torch.random.get_rng_state()
    build("deepinv", SHAPE, 3, physics="CompressedSensing", arguments={"m": 5})
    assert torch.equal(before, torch.random.get_rng_state())
    first, again, other = (mask["physics.mask"] for mask in masks)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


class Wrong(physics.LinearPhysics):
    """A physics whose adjoint has another scale."""

    def A(self, x: Tensor, **kwargs: Any) -> Tensor:  # noqa: N802
        return 2 * x

    def A_adjoint(self, y: Tensor, **kwargs: Any) -> Tensor:  # noqa: N802
        return y


class Affine(physics.LinearPhysics):
    """A physics that is not linear but says so."""

    def A(self, x: Tensor, **kwargs: Any) -> Tensor:  # noqa: N802
        return x + 1

    def A_adjoint(self, y: Tensor, **kwargs: Any) -> Tensor:  # noqa: N802
        return y


def stacked() -> Any:
    part = physics.Inpainting(SHAPE, mask=0.5)
    return physics.stack(part, part)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (Wrong, "deepinv's Wrong: the adjoint is not that of the operator: <A x, y> = "),
        (Affine, "deepinv's Affine: the adjoint is not that of the operator"),
        (physics.Haze, "deepinv's Haze is not linear: take a subclass of deepinv.physics.LinearPhysics"),
        (lambda: physics.MRI(img_size=(4, 4)), r"deepinv's MRI can't measure images of shape \(3, 8, 10\): "),
        (stacked, "deepinv's StackedLinearPhysics gives TensorList; one real tensor is needed"),
    ],
)
def test_a_physics_that_is_no_linear_operator_is_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        DeepinvOperator(make(), SHAPE)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"physics": "Inpaint"}, "deepinv.physics has no class 'Inpaint'; did you mean 'Inpainting'?"),
        ({"physics": "Haze"}, "deepinv.physics.Haze is no LinearPhysics; take one that is"),
        (
            {"physics": "Inpainting", "arguments": {"msk": 1}},
            "deepinv.physics.Inpainting has no argument 'msk'; did you mean 'mask'",
        ),
    ],
)
def test_settings_that_name_no_linear_physics_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        settings("deepinv", **values).check(SHAPE)


def test_arguments_that_deepinv_refuses() -> None:
    with pytest.raises(ValueError, match="deepinv.physics.inpainting.Inpainting refuses its arguments: mask should"):
        build("deepinv", SHAPE, physics="Inpainting", arguments={"mask": 1})


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings("deepinv", physics="Inpainting")
    monkeypatch.setitem(sys.modules, "deepinv", None)
    assert isinstance(chosen, OperatorSettings)
    chosen.check(SHAPE)  # `missing` names it first
    assert missing(chosen) == {"deepinv": "pip install --editable '.[deepinv]'"}
    with pytest.raises(UserError, match=r"needs the package deepinv .* Install it: pip install --editable '.\[deepinv\]'"):
        chosen.build(SHAPE, 0)
