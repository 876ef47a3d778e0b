"""The library's functions on all kinds of arrays, against the parts that they are made of."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL, build_lpn

import lpn
from lpn.checkpoints import save_model
from lpn.denoisers import PatchLPN
from lpn.errors import UserError
from lpn.experiment import DivergenceError
from lpn.networks import LPN, build_network
from lpn.prior import Inversion, invert, regulariser

DRAWS = np.random.default_rng(0)
IMAGES = DRAWS.random((3, 1, 16, 16))
SETTINGS = {"name": "lpn_patch", "channels": 1, "hidden": 3, "size": 16, "beta": 10, "alpha": 0.05}


@pytest.fixture(scope="module")
def model() -> LPN:
    torch.manual_seed(0)
    network = build_lpn(SETTINGS).requires_grad_(False)
    for weight in network.constrained_weights():
        weight.uniform_(0, 2 / weight[0].numel())
    return network


@pytest.fixture(scope="module")
def truth(model: LPN) -> tuple[np.ndarray, np.ndarray]:
    """f and R at the images, in float64."""
    double = build_lpn(SETTINGS).double()
    double.load_state_dict(model.state_dict())
    x = torch.from_numpy(IMAGES)
    with torch.no_grad():
        return double(x).numpy(), regulariser(double, x, invert(double, x, tolerance=1e-8).y).numpy()


def test_importing_it_does_not_import_torch() -> None:
    code = "import lpn, sys; assert 'torch' not in sys.modules; print(*dir(lpn)); lpn.prox; assert 'torch' in sys.modules"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert {*lpn.__all__} <= {*printed.split()}


def test_every_name_is_there_and_explained() -> None:
    for name in lpn.__all__:
        assert len(getattr(lpn, name).__doc__.splitlines()) > 2
    with pytest.raises(AttributeError, match="module 'lpn' has no attribute 'proxy'"):
        lpn.proxy  # noqa: B018


def test_prox_and_regulariser_of_arrays(model: LPN, truth: tuple[np.ndarray, np.ndarray]) -> None:
    f, r = truth
    x, y = IMAGES, IMAGES.astype(np.float32)
    assert lpn.prox(model, x).dtype == np.float64
    assert lpn.prox(model, y).dtype == np.float32
    np.testing.assert_allclose(lpn.prox(model, x), f, atol=1e-12)
    np.testing.assert_allclose(lpn.prox(model, y), f, atol=1e-5)
    np.testing.assert_allclose(lpn.prox(model, x.astype(">f8")), f, atol=1e-12)
    np.testing.assert_allclose(lpn.regulariser(model, x), r, atol=1e-5)
    np.testing.assert_allclose(lpn.regulariser(model, x[1]), r[1], atol=1e-5)
    np.testing.assert_allclose(lpn.prox(model, x[1]), f[1], atol=1e-12)
    np.testing.assert_allclose(lpn.prox(model, x[1, 0]), f[1, 0], atol=1e-12)
    assert lpn.regulariser(model, x[1, 0]).shape == ()
    with pytest.raises(
        ValueError, match=r"the inverse has the shape \(1, 1, 16, 16\), but the images have \(3, 1, 16, 16\)"
    ):
        lpn.regulariser(model, f, inverse=x[:1])
    np.testing.assert_allclose(lpn.regulariser(model, f, inverse=x), lpn.regulariser(model, f), atol=1e-5)
    assert model.lin[0].weight.dtype == torch.float32, "the caller's network stays as it is"


def test_prox_and_regulariser_of_tensors(model: LPN, truth: tuple[np.ndarray, np.ndarray]) -> None:
    x = torch.from_numpy(IMAGES).requires_grad_()
    f = lpn.prox(model, x)
    assert not f.requires_grad
    np.testing.assert_allclose(f.numpy(), truth[0], atol=1e-12)
    np.testing.assert_allclose(lpn.regulariser(model, x).numpy(), truth[1], atol=1e-5)


def test_bytes_are_images_in_the_unit_range(model: LPN) -> None:
    x = DRAWS.integers(0, 256, (2, 1, 16, 16), dtype=np.uint8)
    expected = lpn.prox(model, (x / 255).astype(np.float32))
    np.testing.assert_allclose(lpn.prox(model, x), expected, atol=1e-6)
    np.testing.assert_allclose(lpn.prox(model, x[::-1, :, ::-1])[::-1], lpn.prox(model, x[:, :, ::-1]), atol=1e-6)


def test_inversion_returns_the_point_and_its_residual(model: LPN) -> None:
    y, residual = lpn.invert(model, IMAGES)
    assert y.shape == IMAGES.shape
    assert residual.shape == (3,)
    assert (residual <= 1e-6).all()
    np.testing.assert_allclose(lpn.prox(model, y), IMAGES, atol=1e-5)


def test_an_inaccurate_inversion_warns(model: LPN, monkeypatch: pytest.MonkeyPatch) -> None:
    residual = torch.tensor([1e-9, 3e-2, 1e-9])
    found = Inversion(torch.zeros(3, 1, 16, 16), residual, residual < 1e-6, 1000)
    monkeypatch.setattr("lpn.api._invert", lambda *arguments, **options: found)
    with pytest.warns(RuntimeWarning, match=r"^f\(y\) = x is solved to 0.03 only at image 1, not to 1e-06\.$"):
        lpn.invert(model, IMAGES)


def test_larger_images_are_treated_by_patches(model: LPN) -> None:
    x = DRAWS.random((1, 1, 24, 20)).astype(np.float32)
    with torch.no_grad():
        expected = PatchLPN(model)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(lpn.prox(model, x), expected, atol=1e-6)
    y, residual = lpn.invert(model, x)
    assert residual[0] <= 1e-6
    r = float((x * y).sum() - (x**2).sum() / 2) - PatchLPN(model).double().potential(torch.from_numpy(y)).item()
    model.float()
    np.testing.assert_allclose(lpn.regulariser(model, x), [r], rtol=1e-6)


def test_networks_of_numbers(model: LPN) -> None:
    scalar = build_lpn(SMALL["lpn_scalar with a quadratic term"])
    scalar.project()
    x = np.linspace(-20, 20, 5)[:, None]
    y, residual = lpn.invert(scalar, lpn.prox(scalar, x))
    np.testing.assert_allclose(y, x, atol=1e-4)
    assert residual.max() <= 1e-6
    assert lpn.certify(scalar, x).failures == ()
    with pytest.raises(ValueError, match=r"shape \(5,\), but \(N, 1\) is needed"):
        lpn.prox(scalar, x[:, 0])


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (IMAGES.transpose(0, 2, 3, 1), r"shape \(3, 16, 16, 1\), but \(N, 1, H, W\) is needed.*channels first"),
        (IMAGES[:, 0], r"shape \(3, 16, 16\), but \(N, 1, H, W\) is needed"),
        (IMAGES.repeat(3, 1), r"shape \(3, 3, 16, 16\), but \(N, 1, H, W\) is needed"),
        (IMAGES * 255, "images are in .0, 1., but these have values up to 25.*: scale them"),
        (IMAGES * np.nan, "the array holds NaN"),
        (IMAGES[:0], r"the array is empty: its shape is \(0, 1, 16, 16\)"),
        (IMAGES > 0.5, "the array is bool, but uint8, float32 or float64 is needed: convert it"),
        (IMAGES.astype(np.int64), "the array is int64"),
        (IMAGES.astype(np.float16), "the array is float16"),
        (IMAGES.astype(np.longdouble), "the array is (longdouble|float128)"),
        (torch.zeros(1, 1, 16, 16, dtype=torch.bfloat16), "the array is torch.bfloat16"),
        (np.ma.masked_less(IMAGES, 0.5), "the array has a mask: fill it"),
        (torch.zeros(1, 1, 16, 16).to_sparse(), "the array is torch.sparse_coo: convert it"),
        (IMAGES.tolist(), "a NumPy array or a PyTorch tensor is needed, not list"),
        (np.array([["a"]]), "the array is <U1"),
    ],
)
def test_other_arrays_are_refused(model: LPN, images: Any, sentence: str) -> None:
    for use in (lpn.prox, lpn.regulariser, lpn.certify):
        with pytest.raises(ValueError, match=sentence):
            use(model, images)


def test_inverses_may_be_far_out_of_range(model: LPN) -> None:
    inverse = 200 * IMAGES
    r = lpn.regulariser(model, lpn.prox(model, inverse / 4), inverse=inverse / 4)
    assert np.isfinite(r).all()
    assert np.isfinite(lpn.regulariser(model, IMAGES, inverse=inverse)).all()


@pytest.mark.parametrize("name", ["points", "side"])
def test_the_images_are_the_points_of_a_certificate(model: LPN, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} can't be given here"):
        lpn.certify(model, IMAGES, **{name: 5})


def test_certificates(model: LPN) -> None:
    assert lpn.certify(model, IMAGES, lanczos_steps=5).failures == ()
    large = DRAWS.random((2, 1, 20, 30))
    assert lpn.certify(model, large, lanczos_steps=5) == lpn.certify(model, large[..., 2:18, 7:23], lanczos_steps=5)
    with pytest.raises(ValueError, match=r"squares of side 16 don't fit into images of 8x8"):
        lpn.certify(model, IMAGES[..., :8, :8])
    with pytest.raises(ValueError, match=r"key 'settings': unknown key 'lanczos_step'; did you mean 'lanczos_steps'"):
        lpn.certify(model, IMAGES, lanczos_step=5)


def test_models_are_saved_and_loaded(model: LPN, tmp_path: Path) -> None:
    lpn.save_model(tmp_path / "model.pt", model)
    again = lpn.load_model(tmp_path / "model.pt", device="cpu")
    np.testing.assert_array_equal(lpn.prox(again, IMAGES), lpn.prox(model, IMAGES))
    with pytest.raises(UserError, match=r"none.pt, can't be read|model_config.json, which describes"):
        lpn.load_model(tmp_path / "other/none.pt")
    save_model(tmp_path / "dncnn/model.pt", build_network({"name": "dncnn", "depth": 3, "hidden": 2, "channels": 1}))
    with pytest.raises(UserError, match="is a network 'dncnn', not a learned proximal network. Give another model"):
        lpn.load_model(tmp_path / "dncnn/model.pt")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_a_device_that_is_not_there(model: LPN, tmp_path: Path, device: str) -> None:
    lpn.save_model(tmp_path / "model.pt", model)
    for use in (
        lambda: lpn.load_model(tmp_path / "model.pt", device),
        lambda: lpn.train(IMAGES, batch_size=2, device=device),
    ):
        with pytest.raises(ValueError, match=f"device '{device}' is unknown; PyTorch finds here: cpu"):
            use()


def test_reconstruction_reaches_a_minimiser(model: LPN) -> None:
    """Of s ||A x - y||^2 + rho R(x), whose gradient is 2 s A^T (A x - y) + rho (f^{-1}(x) - x)."""
    operator = lpn.make_operator({"name": "blur", "sigma": 1.0}, (1, 16, 16))
    measured = operator(torch.from_numpy(IMAGES)).numpy()
    x = lpn.reconstruct(model, operator, measured, scale=0.3, solver={"name": "admm", "rho": 0.9}, iterations=300)
    assert x.dtype == np.float64
    gradient = 0.6 * operator.adjoint(operator(torch.from_numpy(x)) - torch.from_numpy(measured)).numpy()
    pull = 0.9 * (lpn.invert(model, x, 1e-8)[0] - x)
    assert np.linalg.norm(gradient + pull) < 1e-4 * np.linalg.norm(pull)
    single = lpn.reconstruct(model, operator, torch.from_numpy(measured[1]), scale=0.3, iterations=3)
    batch = lpn.reconstruct(model, operator, measured, scale=0.3, iterations=3)
    np.testing.assert_allclose(single.numpy(), batch[1], atol=1e-6)


def test_reconstructions_that_do_not_fit_are_refused(model: LPN) -> None:
    operator = lpn.make_operator("identity", (1, 16, 16))
    with pytest.raises(ValueError, match=r"shape \(3, 1, 15, 16\), but \(N, 1, 16, 16\) is needed, or without N"):
        lpn.reconstruct(model, operator, IMAGES[:, :, 1:])
    with pytest.raises(ValueError, match=r"key 'solver': unknown key 'rh'; did you mean 'rho'\?"):
        lpn.reconstruct(model, operator, IMAGES, solver={"name": "admm", "rh": 1})
    with pytest.raises(DivergenceError, match="diverged"):
        lpn.reconstruct(model, operator, IMAGES * 1e300, scale=1e300)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": "blue"}, "unknown operator 'blue'; did you mean 'blur'?"),
        ({"name": "blur"}, "key 'operator': "),
        ({"name": "tomography"}, "tomography takes square images, not 16 x 12"),
    ],
)
def test_operators_that_do_not_fit_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        lpn.make_operator(settings, (1, 16, 12))


def test_training_learns_to_denoise() -> None:
    images = DRAWS.random((40, 1, 4, 4)).repeat(4, axis=2).repeat(4, axis=3)
    records: list[dict[str, Any]] = []
    model = lpn.train(images, steps=300, batch_size=16, device="cpu", progress=records.append)
    assert [record["step"] for record in records] == [100, 200, 300]
    assert model.config["name"] == "lpn_patch"
    assert model.input_shape == (1, 16, 16)
    noisy = images + 0.1 * DRAWS.standard_normal(images.shape)
    assert np.square(lpn.prox(model, noisy) - images).mean() < 0.6 * np.square(noisy - images).mean()


def test_training_is_repeatable_and_leaves_the_random_numbers_of_others_alone() -> None:
    before = torch.random.get_rng_state()
    first = lpn.train(IMAGES, steps=10, batch_size=2, device="cpu")
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(5)
    again = lpn.train(torch.from_numpy(IMAGES), steps=10, batch_size=2, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_training_of_digits_and_of_bytes() -> None:
    images = DRAWS.integers(0, 256, (4, 1, 28, 28), dtype=np.uint8)
    model = lpn.train(images, steps=8, batch_size=2, device="cpu")
    assert model.config["name"] == "lpn_28"
    floats = lpn.train(images / 255, network="lpn_28", steps=8, batch_size=2, device="cpu")
    assert torch.allclose(model.lin[0].weight, floats.lin[0].weight, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "settings", "sentence"),
    [
        (IMAGES[:0], {}, r"the array is empty"),
        (IMAGES[:, 0], {}, r"axes \(N, C, H, W\), but these are \(3, 16, 16\): add the axes of length 1"),
        (IMAGES.transpose(0, 2, 3, 1), {}, r"these are \(3, 16, 16, 1\): put the channels first"),
        (IMAGES * 2 - 1, {}, r"training images are in \[0, 1\], but these have values from -"),
        (IMAGES, {}, "batch_size is 32, which needs 32 images; there are only 3"),
        (IMAGES, {"sigma": -1.0}, "key 'sigma' is -1.0"),
        (IMAGES, {"steps": 4}, "2 steps can't hold the 4 stages of the loss 'proximal_matching'"),
        (IMAGES, {"network": {"name": "dncnn", "channels": 1}}, "'dncnn' is not a learned proximal network: take another"),
        (
            IMAGES,
            {"network": {"name": "lpn_28"}, "batch_size": 2},
            "patches of 28x28 don't fit into training images of 16x16",
        ),
        (IMAGES[..., :5, :5], {"batch_size": 2}, "patches of 8x8 don't fit into training images of 5x5"),
    ],
)
def test_trainings_that_do_not_fit_are_refused(images: np.ndarray, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        lpn.train(images, device="cpu", **settings)
