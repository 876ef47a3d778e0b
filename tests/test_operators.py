import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import golden_files
from scipy.signal import convolve2d

from lpn.cg import conjugate_gradients
from lpn.errors import UserError
from lpn.operators import (
    OPERATORS,
    BayerMosaic,
    Blur,
    CircularBlur,
    CompressedSensing,
    Identity,
    LinearOperator,
    Tomography,
    build_operator,
    centred_kernel,
    gaussian_kernel,
    read_kernel,
)

RANDOM = np.random.default_rng(0)
KERNEL = torch.from_numpy(RANDOM.random((4, 3)))

SMALL: dict[str, Callable[[], LinearOperator]] = {
    "identity": lambda: Identity((2, 5, 7)),
    "gaussian": lambda: Blur(gaussian_kernel(1), (3, 9, 13)),
    "kernel": lambda: Blur(KERNEL, (2, 11, 8)),
    "whole": lambda: Blur(torch.from_numpy(RANDOM.random((6, 5))), (1, 6, 5)),
    "circular": lambda: CircularBlur(centred_kernel("gaussian", 7, 1.6), (2, 8, 9)),
    "motion": lambda: CircularBlur(KERNEL[:3] / KERNEL[:3].sum(), (2, 7, 6)),
    "bayer": lambda: BayerMosaic((3, 6, 8)),
    "sensing": lambda: CompressedSensing.random((2, 7, 9), 20, seed=0),
    "tomography": lambda: Tomography((2, 16, 16), angles=12, detectors=25),
}


@pytest.fixture(params=SMALL)
def operator(request: pytest.FixtureRequest) -> LinearOperator:
    return SMALL[request.param]()


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(operator: LinearOperator) -> torch.Tensor:
    """Return the matrix of A on one image of all its channels."""
    size = math.prod(operator.input_shape)
    return operator(torch.eye(size, dtype=torch.float64).view(size, *operator.input_shape)).flatten(1).T


def precision(operator: LinearOperator) -> float:
    return 1e-6 if isinstance(operator, Tomography) else 1e-12


def relative(ours: torch.Tensor, published: np.ndarray) -> float:
    return float(np.linalg.norm(ours.numpy() - published) / np.linalg.norm(published))


def test_adjoint(operator: LinearOperator) -> None:
    x, y = draw(3, *operator.input_shape), draw(3, *operator.output_shape, seed=2)
    ax, aty = operator(x), operator.adjoint(y)
    assert ax.shape == y.shape
    assert aty.shape == x.shape
    assert ax.dtype == aty.dtype == torch.float64
    scale = ax.norm() * y.norm()
    assert abs((ax * y).sum() - (x * aty).sum()) <= precision(operator) * scale
    torch.testing.assert_close(operator.normal(x), operator.adjoint(ax), rtol=0, atol=precision(operator) * ax.norm().item())


def test_float32_and_any_strides(operator: LinearOperator) -> None:
    x = draw(2, *operator.input_shape)
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
def test_inverse(name: str) -> None:
    operator = SMALL[name]()
    x = draw(2, *operator.input_shape)
    torch.testing.assert_close(operator.inverse(2.0, 0.1)(2.0 * operator.normal(x) + 0.1 * x), x)


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
    assert 2 * preconditioned.iterations <= plain.iterations


def test_misfits_name_both_shapes(operator: LinearOperator) -> None:
    for method, shape in [(operator, operator.input_shape), (operator.normal, operator.input_shape),
                          (operator.adjoint, operator.output_shape)]:  # fmt: skip
        wrong = torch.zeros(1, *shape[:-1], shape[-1] + 1)
        with pytest.raises(ValueError, match=f"{', '.join(map(str, shape))}\\).*{shape[-1] + 1}"):
            method(wrong)


def test_blur_is_full_convolution() -> None:
    for name in ("gaussian", "kernel", "whole"):
        operator = SMALL[name]()
        x = draw(2, *operator.input_shape)
        for image, sharpened in zip(x.flatten(0, 1), operator(x).flatten(0, 1), strict=True):
            np.testing.assert_allclose(sharpened, convolve2d(image, operator.kernel, mode="full"), atol=1e-12)


@pytest.mark.parametrize(("sigma", "side"), [(0.5, 5), (1, 5), (2, 7), (2.7, 9), (3, 9)])
def test_gaussian_kernel(sigma: float, side: int) -> None:
    kernel = gaussian_kernel(sigma)
    assert kernel.shape == (side, side)
    assert kernel.sum() == pytest.approx(1)
    assert kernel.max() == kernel[side // 2, side // 2]


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (torch.ones(9, 3), "no larger than the image"),
        (torch.ones(3), "two axes"),
        (torch.tensor([[1.0, -1.0]]), "nonzero sum"),
        (torch.tensor([[1.0, math.nan]]), "finite"),
    ],
)
def test_bad_kernels(kernel: torch.Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Blur(kernel, (1, 8, 8))


@pytest.mark.parametrize("path", golden_files("op_blur"), ids=lambda path: path.stem)
@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_published_blur(path: Path, sigma: float) -> None:
    arrays = np.load(path)
    operator = build_operator({"name": "blur", "sigma": sigma}, (3, 128, 128), seed=0)
    x, y = (torch.from_numpy(arrays[name].astype(np.float32)).permute(2, 0, 1)[None] for name in ("x", f"s{sigma}/y"))
    np.testing.assert_allclose(operator.kernel, arrays[f"s{sigma}/kernel"], rtol=1e-12)
    assert relative(operator(x)[0].permute(1, 2, 0), arrays[f"s{sigma}/Ax"]) < 1e-6
    assert relative(operator.adjoint(y)[0].permute(1, 2, 0), arrays[f"s{sigma}/adj_y"]) < 1e-6
    torch.testing.assert_close(operator.initial(y), operator.adjoint(y))


@pytest.mark.parametrize("path", golden_files("op_cs"), ids=lambda path: path.stem)
def test_published_compressed_sensing(path: Path) -> None:
    arrays = np.load(path)
    operator = CompressedSensing((1, 64, 64), arrays["a"], arrays["sign"], arrays["indices"])
    x, y = (torch.from_numpy(arrays[name])[None, None] for name in "xy")
    assert relative(operator(x)[0, 0], arrays["Ax"]) < 1e-6
    assert relative(operator.adjoint(y)[0, 0], arrays["adj_y"]) < 1e-6
    start = operator.initial(torch.cat([operator(x), y]))  # the published slip changes it by about 1e-6
    assert relative(start[0, 0], arrays["ls_Ax"]) < 1e-5
    assert relative(start[1, 0], arrays["ls_y"]) < 1e-5
    # their few power iterations fall short
    assert arrays["norm_seed0"] < operator.norm < 1.05 * arrays["norm_seed0"]


@pytest.mark.parametrize("path", golden_files("op_tomo"), ids=lambda path: path.stem)
def test_published_tomography(path: Path) -> None:
    arrays = np.load(path)
    operator = build_operator({"name": "tomography", "angles": 200, "detectors": 400}, (1, 512, 512), seed=0)
    y = operator(torch.from_numpy(arrays["x"].astype(np.float32))[None, None])
    assert relative(y[0, 0], arrays["Ax"]) < 1e-5
    assert relative(operator.adjoint(y)[0, 0, ::2, ::2], arrays["adj_Ax_sub2"]) < 1e-5
    assert relative(operator.initial(y)[0, 0, ::2, ::2], arrays["fbp_Ax_sub2"]) < 1e-5


def test_filtered_back_projection_inverts() -> None:
    operator = Tomography((2, 64, 64), angles=100, detectors=120)
    position = torch.linspace(-1, 1, 64)
    bump = torch.exp(-4 * (position[:, None] ** 2 + (position - 0.2) ** 2)).expand(1, 2, 64, 64)
    assert (operator.fbp(operator(bump)) - bump).abs().max() < 0.05


def test_compressed_sensing_is_the_product_of_its_factors() -> None:
    operator = CompressedSensing.random((1, 4, 5), 7, seed=3)
    drawn = operator.arrays()
    f = np.fft.fft(np.eye(20), norm="ortho")
    matrix = np.eye(20)[drawn["rows"]] @ f.conj().T @ np.diag(f @ drawn["filter"]) @ f @ np.diag(drawn["sign"])
    np.testing.assert_allclose(matrix.imag, 0, atol=1e-12)
    np.testing.assert_allclose(dense(operator), matrix.real, atol=1e-12)


def test_compressed_sensing_from_saved_arrays(tmp_path: Path) -> None:
    operator = CompressedSensing.random((1, 8, 8), 20, seed=3)
    np.savez(tmp_path / "operator.npz", **operator.arrays())
    x = draw(1, 1, 8, 8)
    again = CompressedSensing((1, 8, 8), **np.load(tmp_path / "operator.npz"))
    torch.testing.assert_close(again(x), operator(x), rtol=0, atol=0)
    torch.testing.assert_close(CompressedSensing.random((1, 8, 8), 20, seed=3)(x), operator(x), rtol=0, atol=0)
    assert not torch.equal(CompressedSensing.random((1, 8, 8), 20, seed=4)(x), operator(x))
    with pytest.raises(UserError, match=r"do not\s+fit"):
        CompressedSensing((1, 8, 9), **operator.arrays())


def test_kernels_in_files(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).random((2, 1, 3, 5))
    np.save(tmp_path / "stack.npy", stack)
    np.testing.assert_array_equal(read_kernel(str(tmp_path / "stack.npy"), 1), stack[1, 0])
    np.savez(tmp_path / "archive.npz", kernel=stack)
    np.save(tmp_path / "row.npy", stack[0, 0, 0])
    np.save(tmp_path / "complex.npy", stack * 1j)
    faults = {
        "archive": "archive of several",
        "row": "must be one array",
        "complex": "complex128 where real",
        "none": "No such",
    }
    for name, message in faults.items():
        with pytest.raises(UserError, match=rf"{name}\.np[yz].*{message}"):
            read_kernel(str(tmp_path / f"{name}.{'npz' if name == 'archive' else 'npy'}"))
    with pytest.raises(UserError, match="holds 2 kernels"):
        read_kernel(str(tmp_path / "stack.npy"), 2)


def test_blur_by_a_kernel_of_a_file_is_full_convolution(tmp_path: Path) -> None:
    kernel, x = draw(3, 5).numpy(), draw(1, 1, 8, 9)
    np.save(tmp_path / "kernel.npy", kernel)
    operator = build_operator({"name": "blur", "kernel": str(tmp_path / "kernel.npy")}, (1, 8, 9), seed=0)
    np.testing.assert_allclose(operator(x)[0, 0], convolve2d(x[0, 0], kernel), atol=1e-12)
    box = build_operator({"name": "blur", "kernel": "box", "side": 3}, (1, 8, 9), seed=0)
    np.testing.assert_allclose(box(x)[0, 0], convolve2d(x[0, 0], np.full((3, 3), 1 / 9)), atol=1e-12)


def test_registry() -> None:
    """What can be configured is built, and its adjoint and norm are tested above."""
    arguments = {
        "blur": {"sigma": 1.0},
        "circular_blur": {"kernel": "box", "side": 3},
        "tomography": {"angles": 5, "detectors": 9},
        "compressed_sensing": {"measurements": 9},
    }
    for name in OPERATORS:
        operator = build_operator({"name": name, **arguments.get(name, {})}, (3, 8, 8), seed=0)
        assert operator(torch.zeros(1, 3, 8, 8)).shape[1:] == operator.output_shape
        assert type(operator) in {type(small()) for small in SMALL.values()}, f"enter {name} in SMALL"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "sharpen"}, rf"operator\.name.*sharpen.*{', '.join(OPERATORS)}"),
        ({}, r"operator\.name"),
        ({"name": "blur", "sigm": 1}, "'operator' does not fit blur.*sigm"),
        ({"name": "blur", "sigma": -1}, r"operator\.sigma"),
        ({"name": "compressed_sensing", "measurements": 65}, r"operator\.measurements.*64"),
        ({"name": "tomography", "angles": 5}, "not 8 x 9"),
    ],
)
def test_bad_configs(config: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_operator(config, (1, 8, 9 if config.get("name") == "tomography" else 8), seed=0)


def test_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "astra", None)
    with pytest.raises(UserError, match="pip install odl astra-toolbox"):
        Tomography((1, 8, 8), 5, 9)
