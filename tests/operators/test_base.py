"""What all operators share."""

import math

import pytest
import torch
from pydantic import ValidationError

from lpn.cg import conjugate_gradients
from lpn.operators import LinearOperator
from lpn.operators.blur import Blur
from lpn.operators.tomography import Tomography
from lpn.settings import component, names
from operators.conftest import KERNEL, SMALL, build, dense, draw, precision, settings


def test_adjoint(operator: LinearOperator, device: torch.device) -> None:
    x, y = draw(3, *operator.input_shape).to(device), draw(3, *operator.output_shape, seed=2).to(device)
    ax, aty = operator(x), operator.adjoint(y)
    assert ax.shape == y.shape
    assert aty.shape == x.shape
    assert ax.dtype == aty.dtype == torch.float64
    scale = ax.norm() * y.norm()
    assert abs((ax * y).sum() - (x * aty).sum()) <= precision(operator, device) * scale
    torch.testing.assert_close(operator.normal(x), operator.adjoint(ax), rtol=0, atol=precision(operator) * ax.norm().item())
    torch.testing.assert_close(ax.cpu(), operator(x.cpu()), rtol=0, atol=precision(operator, device) * ax.norm().item())


def test_autograd_differentiates_both_maps(operator: LinearOperator, device: torch.device) -> None:
    """The gradient of <A x, y> in x is A^T y, that of <A^T y, x> in y is A x, and A^T y is differentiated again."""
    x = torch.randn(2, *operator.input_shape, device=device, requires_grad=True)
    y = torch.randn(2, *operator.output_shape, device=device, requires_grad=True)
    (in_x,) = torch.autograd.grad((operator(x) * y).sum(), x, create_graph=True)
    (in_y,) = torch.autograd.grad((operator.adjoint(y) * x).sum(), y)
    (again,) = torch.autograd.grad((in_x * x.detach()).sum(), y)
    torch.testing.assert_close(in_x, operator.adjoint(y))
    torch.testing.assert_close(in_y, operator(x))
    torch.testing.assert_close(again, operator(x))


def test_float32_and_any_strides(operator: LinearOperator, device: torch.device) -> None:
    x = draw(2, *operator.input_shape).to(device)
    single = operator(x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), operator(x), rtol=1e-4, atol=1e-4)
    channels_last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(operator(channels_last), operator(x))


def test_norm_is_the_largest_singular_value(operator: LinearOperator) -> None:
    assert operator.norm == pytest.approx(torch.linalg.matrix_norm(dense(operator), 2).item(), rel=1e-6)


@pytest.mark.parametrize(("weight", "rho"), [(1.0, 0.1), (4.0, 0.1)])
def test_preconditioner(operator: LinearOperator, weight: float, rho: float) -> None:
    """It is symmetric and positive, and changes the way to the solution, not the solution."""
    weight /= operator.norm**2
    matrix = weight * dense(operator).T @ dense(operator) + rho * torch.eye(math.prod(operator.input_shape))
    precondition = operator.preconditioner(weight, rho)
    unit = torch.eye(len(matrix), dtype=torch.float64)
    inverse = precondition(unit.view(-1, *operator.input_shape)).flatten(1)
    torch.testing.assert_close(inverse, inverse.T, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(inverse)[0] > 0

    b = draw(2, *operator.input_shape)
    solution = torch.linalg.solve(matrix, b.flatten(1).T).T.view_as(b)
    for chosen in (None, precondition):
        result = conjugate_gradients(
            lambda x: weight * operator.normal(x) + rho * x, b, torch.zeros_like(b), chosen, 1e-8, 300
        )
        torch.testing.assert_close(result.x, solution, rtol=0, atol=1e3 * precision(operator) + 1e-6)


@pytest.mark.parametrize("name", ["identity", "gaussian", "circular", "motion", "bayer"])
def test_inverse(name: str, device: torch.device) -> None:
    operator = SMALL[name]()
    x = draw(2, *operator.input_shape).to(device)
    inverse = operator.inverse(2.0, 0.1)
    assert inverse is not None
    torch.testing.assert_close(inverse(2.0 * operator.normal(x) + 0.1 * x), x)


@pytest.mark.parametrize(
    "operator", [Blur(KERNEL, (1, 64, 64)), Tomography((1, 64, 64), 60, 90)], ids=["kernel", "tomography"]
)
def test_preconditioners_save_iterations(operator: LinearOperator) -> None:
    weight, rho = 3 / operator.norm**2, 0.05
    x = torch.zeros(1, *operator.input_shape, dtype=torch.float64)
    x[..., 16:40, 20:50] = 1
    b = weight * operator.normal(x) + rho * x
    plain, preconditioned = (
        conjugate_gradients(lambda x: weight * operator.normal(x) + rho * x, b, torch.zeros_like(b), chosen, 1e-5, 200)
        for chosen in (None, operator.preconditioner(weight, rho))
    )
    assert (2 * preconditioned.iterations <= plain.iterations).all()


def test_misfits_name_both_shapes(operator: LinearOperator) -> None:
    for method, shape in [(operator, operator.input_shape), (operator.normal, operator.input_shape),
                          (operator.adjoint, operator.output_shape)]:  # fmt: skip
        wrong = torch.zeros(1, *shape[:-1], shape[-1] + 1)
        with pytest.raises(ValueError, match=f"{', '.join(map(str, shape))}\\).*{shape[-1] + 1}"):
            method(wrong)


def test_all_operators_are_tested() -> None:
    """What can be chosen is built, and its adjoint and norm are tested above."""
    values = {
        "blur": {"sigma": 1.0},
        "circular_blur": {"kernel": "box", "side": 3},
        "tomography": {"angles": 5, "detectors": 9},
        "compressed_sensing": {"measurements": 9},
        "deepinv": {"physics": "Inpainting", "arguments": {"mask": 0.5}},
    }
    for name in names("operator"):
        operator = build(name, (3, 8, 8), **values.get(name, {}))
        assert operator(torch.zeros(1, 3, 8, 8)).shape[1:] == operator.output_shape
        assert type(operator) in {type(small()) for small in SMALL.values()}, f"enter {name} in SMALL"


def test_unknown_operators_are_refused() -> None:
    with pytest.raises(ValueError, match=f"unknown operator 'sharpen'.*{', '.join(names('operator'))}"):
        component("operator", "sharpen")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("blur", {"sigm": 1}, "unknown key 'sigm'; did you mean 'sigma'"),
        ("blur", {"sigma": -1}, "sigma\n.*greater than 0"),
        ("compressed_sensing", {}, "measurements\n.*required"),
        ("compressed_sensing", {"measurements": 0}, "measurements\n.*greater than 0"),
        ("tomography", {"angles": 5.5}, "angles\n.*valid integer"),
        ("bayer", {"pattern": "RGGB"}, "unknown key 'pattern'"),
        ("identity", {"sigma": 1}, "unknown key 'sigma'"),
    ],
)
def test_bad_settings_are_refused(name: str, values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(name, **values)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("compressed_sensing", {"measurements": 73}, "measurements must be in 1..72 for images of 8 x 9, not 73"),
        ("tomography", {"angles": 5}, "square images, not 8 x 9"),
        ("bayer", {}, "even sides, not 3 channels of 8 x 9"),
        ("blur", {"sigma": 1e9}, "kernel of side 3000000001 is larger than the images, 8 x 9"),
        ("blur", {"kernel": "box", "side": 9}, "kernel of side 9 is larger than the images, 8 x 9"),
        ("circular_blur", {"kernel": "box", "side": 1001}, "kernel of side 1001 is larger than the images, 8 x 9"),
    ],
)
def test_images_that_do_not_fit_are_refused(name: str, values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(name, **values).check((3, 8, 9))
    with pytest.raises(ValueError, match=message):
        build(name, (3, 8, 9), **values)
