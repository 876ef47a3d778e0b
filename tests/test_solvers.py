"""Solvers against closed forms in float64, against their theory, and against the published code's runs."""

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import golden_files, golden_network
from torch import Tensor

from lpn.errors import UserError
from lpn.metrics import psnr
from lpn.networks import LPN, GradientStep, build_network
from lpn.operators import Blur, CompressedSensing, Identity, LinearOperator, Tomography, build_operator
from lpn.patches import PatchLPN
from lpn.prior import invert, log_prior
from lpn.solvers import ExactProx, Iterate, Problem, admm, box, gradient_step, pgd

SHAPE = (1, 16, 16)
ORDERS = ["".join(order) for order in itertools.permutations("123")]
OPERATORS: dict[str, Callable[[], LinearOperator]] = {
    "identity": lambda: Identity(SHAPE),
    "blur": lambda: build_operator({"name": "blur", "sigma": 1.0}, SHAPE, 0),
    "kernel": lambda: Blur(torch.tensor([[0.2, 0.5], [0.1, 0.3], [0.4, 0.1]]), SHAPE),
    "sensing": lambda: CompressedSensing.random(SHAPE, 100, seed=0),
}


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(name: str = "kernel", scale: float = 0.5, **options) -> Problem:
    operator = OPERATORS[name]()
    y = operator(draw(2, *SHAPE)) + 0.1 * draw(2, *operator.output_shape, seed=2)
    return Problem(operator, y, scale, tolerance=1e-13, cg_iterations=500, **options)


def quadratic(weight: float, centre: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the proximal operator of  weight/2 ||x - centre||^2."""
    return lambda v: (v + weight * centre) / (1 + weight)


def ridge(given: Problem, terms: list[tuple[float, Tensor]]) -> Tensor:
    """Return argmin s ||A x - y||^2 + sum_i w_i/2 ||x - m_i||^2 for the pairs (w_i, m_i), by a dense solve."""
    size = math.prod(SHAPE)
    matrix = given.operator(torch.eye(size, dtype=torch.float64).view(size, *SHAPE)).flatten(1).T
    hessian = 2 * given.scale * matrix.T @ matrix + sum(w for w, _ in terms) * torch.eye(size, dtype=torch.float64)
    right = 2 * given.scale * given.y.flatten(1) @ matrix + sum((w * m).flatten(1) for w, m in terms)
    return torch.linalg.solve(hessian, right.T).T.view(-1, *SHAPE)


def after(iterates: Iterator[Iterate], count: int) -> Iterate:
    """Return the iterate number `count`."""
    with torch.no_grad():
        return next(itertools.islice(iterates, count - 1, None))


def small_lpn(alpha: float = 0.1) -> LPN:
    """A float64 LPN of 16x16 images with random weights that are far from 0."""
    torch.manual_seed(0)
    config = {"name": "lpn_128", "channels": 1, "hidden": 4, "size": 16, "beta": 10, "alpha": alpha}
    model = build_network(config).double().requires_grad_(False)
    for weight in model.constrained_weights():
        weight.uniform_(0, 2 / weight[0].numel())
    return model.eval()


def trajectory(given: Problem, iterates: Iterator[Iterate], prox: ExactProx, weight: float, count: int) -> Tensor:
    """Return the exact objective of the iterates, (count, N); x = z is assumed."""
    with torch.no_grad():
        values = [given.data_term(i.x) + weight * prox.regulariser for i in itertools.islice(iterates, count)]
    return torch.stack(values)


@pytest.mark.parametrize("name", OPERATORS)
def test_data_term_and_its_gradient(name: str) -> None:
    given = problem(name, scale=0.7)
    x = draw(2, *SHAPE, seed=3).requires_grad_(True)
    value = given.data_term(x)
    residual = (given.operator(x) - given.y).flatten(1)
    torch.testing.assert_close(value, 0.7 * torch.linalg.vector_norm(residual, dim=1) ** 2)
    torch.testing.assert_close(given.gradient(x), torch.autograd.grad(value.sum(), x)[0])


@pytest.mark.parametrize("preconditioned", [False, True])
@pytest.mark.parametrize("name", OPERATORS)
def test_x_step_is_the_proximal_operator_of_the_data_term(name: str, preconditioned: bool) -> None:
    given = problem(name, preconditioned=preconditioned)
    v = draw(2, *SHAPE, seed=4)
    x, iterations = given.proximal(0.3)(v, torch.zeros_like(v))
    torch.testing.assert_close(x, ridge(given, [(0.3, v)]), rtol=0, atol=1e-10)
    if preconditioned and name in ("identity", "blur"):  # solved directly
        assert iterations.max() == 0


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", OPERATORS)
def test_admm_finds_the_minimiser(name: str, order: str) -> None:
    given, centre, rho = problem(name), draw(2, *SHAPE, seed=5), 0.4
    last = after(admm(given, quadratic(2.0, centre), given.operator.initial(given.y), rho=rho, order=order), 100)
    expected = ridge(given, [(2.0 * rho, centre)])
    torch.testing.assert_close(last.x, expected, rtol=0, atol=1e-8)
    torch.testing.assert_close(last.z, expected, rtol=0, atol=1e-8)
    assert last.primal.max() < 1e-7
    assert last.dual.max() < 1e-7


@pytest.mark.parametrize("order", ORDERS)
def test_admm_with_several_splits_finds_the_minimiser(order: str) -> None:
    given, rho = problem(), 0.4
    terms = [(weight, draw(2, *SHAPE, seed=seed)) for weight, seed in ((2.0, 5), (0.5, 6), (1.0, 7))]
    prox, *splits = (quadratic(*term) for term in terms)
    last = after(admm(given, prox, torch.zeros(2, *SHAPE).double(), rho=rho, order=order, splits=tuple(splits)), 300)
    torch.testing.assert_close(last.x, ridge(given, [(rho * w, m) for w, m in terms]), rtol=0, atol=1e-8)


def test_admm_with_the_box_stays_inside_and_is_optimal() -> None:
    """x is feasible, and the projected gradient step from it does not move: the first-order condition."""
    given, centre, rho = problem("blur"), draw(2, *SHAPE, seed=5) * 3 - 1, 0.4
    last = after(admm(given, quadratic(2.0, centre), centre, rho=rho, splits=(box,)), 500)
    x = last.x
    assert ((x > -1e-6) & (x < 1 + 1e-6)).all()
    assert (ridge(given, [(2.0 * rho, centre)]) > 1.1).any()  # the box does bind
    gradient = given.gradient(x) + 2.0 * rho * (x - centre)
    torch.testing.assert_close(box(x - 0.1 * gradient), x, rtol=0, atol=1e-6)


def test_preconditioning_changes_the_cost_not_the_iterates() -> None:
    plain, preconditioned = (
        list(itertools.islice(admm(problem(preconditioned=chosen), box, torch.zeros(2, *SHAPE).double(), rho=0.05), 10))
        for chosen in (False, True)
    )
    for a, b in zip(plain, preconditioned, strict=True):
        torch.testing.assert_close(a.x, b.x, rtol=0, atol=1e-9)
        torch.testing.assert_close(a.z, b.z, rtol=0, atol=1e-9)
    assert sum(i.cg_iterations for i in preconditioned).sum() < sum(i.cg_iterations for i in plain).sum()


def test_residuals_are_those_of_the_iterates() -> None:
    given, prox, rho = problem(), quadratic(1.0, draw(2, *SHAPE, seed=5)), 0.4
    before, now = itertools.islice(admm(given, prox, torch.zeros(2, *SHAPE).double(), rho=rho), 1, 3)
    torch.testing.assert_close(now.primal, (now.x - now.z).flatten(1).norm(dim=1))
    torch.testing.assert_close(now.dual, rho * (now.z - before.z).flatten(1).norm(dim=1))
    torch.testing.assert_close(now.z, prox(now.v), rtol=0, atol=0)


@pytest.mark.parametrize("order", ["12", "1223", "124", "1 2 3", ""])
def test_bad_orders_are_refused(order: str) -> None:
    with pytest.raises(UserError, match=f"'order' is '{order}'.*permutation of 123"):
        next(admm(problem(), box, torch.zeros(2, *SHAPE).double(), rho=1.0, order=order))


def test_one_step_of_pgd_denoises() -> None:
    """With A = I it starts at y, where the data term's gradient is 0: the experiment `denoising` rests on that."""
    given, denoise = problem("identity"), small_lpn()
    start = given.operator.initial(given.y)
    torch.testing.assert_close(after(pgd(given, denoise, start, step=0.5), 1).x, denoise(given.y), rtol=0, atol=0)


@pytest.mark.parametrize("name", OPERATORS)
def test_pgd_finds_the_minimiser(name: str) -> None:
    given, centre = problem(name), draw(2, *SHAPE, seed=5)
    step = 0.99 / (2 * given.scale * given.operator.norm**2)
    last = after(pgd(given, quadratic(2.0, centre), torch.zeros(2, *SHAPE).double()), 60)
    torch.testing.assert_close(last.x, ridge(given, [(2.0 / step, centre)]), rtol=0, atol=1e-8)
    assert last.dual.max() < 1e-6
    assert (last.cg_iterations == 0).all()


def test_pgd_with_the_box_stays_inside_and_is_optimal() -> None:
    given, centre = problem("blur"), draw(2, *SHAPE, seed=5) * 3 - 1
    step = 0.9 / (2 * given.scale * given.operator.norm**2)
    last = after(pgd(given, quadratic(2.0, centre), centre, step=step, splits=(box,)), 500)
    x = last.x
    assert ((x >= 0) & (x <= 1)).all()
    assert (ridge(given, [(2.0 / step, centre)]) > 1.1).any()  # the box does bind
    gradient = given.gradient(x) + 2.0 / step * (x - centre)
    torch.testing.assert_close(box(x - 0.1 * step * gradient), x, rtol=0, atol=1e-6)
    assert last.primal.max() < 1e-6
    assert last.dual.max() < 1e-6


@pytest.mark.parametrize("factor", [-1.0, 0.0, 1.0, 1.5, math.nan])
def test_bad_steps_are_refused(factor: float) -> None:
    given = problem(scale=2.0)
    limit = 1 / (2 * given.scale * given.operator.norm**2)
    with pytest.raises(UserError, match="'step' is .*below 1 / "):
        next(pgd(given, box, torch.zeros(2, *SHAPE).double(), step=factor * limit))


@pytest.mark.parametrize("strength", [1.0, 0.3])
@pytest.mark.parametrize("name", OPERATORS)
def test_pgd_with_a_network_never_increases_its_objective(name: str, strength: float) -> None:
    given, prox = problem(name), ExactProx(small_lpn(), strength)
    step = 0.99 / (2 * given.scale * given.operator.norm**2)
    objective = trajectory(given, pgd(given, prox, draw(2, *SHAPE, seed=6)), prox, 1 / step, 60)
    assert (objective.diff(dim=0) <= 1e-12 * objective[0].abs()).all()
    assert (objective[-1] < objective[0] - 1e-4).all()


def test_admm_with_a_network_converges_where_the_theory_says_so() -> None:
    """With rho > 2 s ||A||^2 the augmented Lagrangian falls, and the limit is a critical point (LPN paper, section 4)."""
    given, model = problem("blur"), small_lpn()
    prox, rho = ExactProx(model), 2.1 * problem("blur").scale * problem("blur").operator.norm ** 2
    values, u = [], torch.zeros(2, *SHAPE).double()
    for iterate in itertools.islice(admm(given, prox, draw(2, *SHAPE, seed=6), rho=rho), 200):
        # order 132: u is what z's argument v = x + u holds beside x
        u = iterate.v - iterate.x
        coupling = ((iterate.x - iterate.z + u).square() - u.square()).flatten(1).sum(1)
        values.append(given.data_term(iterate.x) + rho * prox.regulariser + rho / 2 * coupling)
    lagrangian = torch.stack(values)
    assert (lagrangian.diff(dim=0) <= 1e-12 * lagrangian[0].abs()).all()
    assert iterate.primal.max() < 1e-8
    assert iterate.dual.max() < 1e-8
    x = iterate.x
    torch.testing.assert_close(model(x - given.gradient(x) / rho), x, rtol=0, atol=1e-8)


@pytest.mark.parametrize("image", [SHAPE, (1, 20, 27)])
def test_exact_regulariser_equals_that_by_inversion(image: tuple[int, ...]) -> None:
    model = small_lpn() if image == SHAPE else PatchLPN(small_lpn(), "exact")
    prox = ExactProx(model)
    z = prox(draw(3, *image, seed=8))
    inversion = invert(model, z, tolerance=1e-12)
    assert inversion.converged.all()
    torch.testing.assert_close(prox.regulariser, log_prior(model, z, inversion.y), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_denoiser_of_any_strength_is_the_prox_of_its_regulariser(strength: float) -> None:
    """z = prox_R(v) minimises R + 1/2 ||. - v||^2, so with the Jacobian J of z(v), grad_v R(z(v)) = J (v - z)."""
    model, v = small_lpn(), draw(4, *SHAPE, seed=9).requires_grad_(True)
    prox = ExactProx(model, strength)
    z = prox(v)
    torch.testing.assert_close(z, strength * model(v) + (1 - strength) * v)
    (gradient,) = torch.autograd.grad(prox.regulariser.sum(), v, retain_graph=True)
    (expected,) = torch.autograd.grad((z * (v - z).detach()).sum(), v)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)
    distances = (z[None] - v[:, None]).square().flatten(2).sum(2) / 2  # of v_i to each z_j
    assert (distances + prox.regulariser).argmin(1).tolist() == [0, 1, 2, 3]


def test_gradient_step_finds_the_minimiser() -> None:
    """g(x) = c/2 ||x - m||^2 gives the denoiser x - c (x - m) and the minimiser of s ||A x - y||^2 + rho g."""
    given, centre, c, rho = problem(), draw(2, *SHAPE, seed=5), 0.6, 0.3
    denoiser = lambda x: x - c * (x - centre)  # noqa: E731
    last = after(gradient_step(given, denoiser, torch.zeros(2, *SHAPE).double(), rho=rho), 200)
    torch.testing.assert_close(last.x, ridge(given, [(c * rho, centre)]), rtol=0, atol=1e-8)
    assert last.dual.max() < 1e-8


def test_gradient_step_decreases_its_objective() -> None:
    torch.manual_seed(0)
    given, rho = problem(), 0.5
    network = GradientStep(channels=1, hidden=4, blocks=1).double().eval()
    x = draw(2, *SHAPE, seed=6)
    values = [given.data_term(x) + rho * network.potential(x)]
    for iterate in itertools.islice(gradient_step(given, network, x, rho=rho), 30):
        values.append(given.data_term(iterate.x) + rho * network.potential(iterate.x))
    objective = torch.stack(values)
    assert (objective.diff(dim=0) <= 1e-12).all()
    assert (objective[-1] < 0.9 * objective[0]).all()


def image(array: np.ndarray) -> Tensor:
    """Return a published image, (H, W) or (H, W, 3), as a batch of one."""
    return torch.from_numpy(np.atleast_3d(array).astype(np.float32).transpose(2, 0, 1).copy())[None]


def check_published(iterates: list[Iterate], x: Tensor, arrays: np.lib.npyio.NpzFile, rho: float) -> None:
    """Compare PSNR, residuals and CG iterations with the published run's, iteration by iteration."""
    count = len(iterates)
    ours = {
        "psnr": [psnr(i.x.numpy(), x.numpy())[0] for i in iterates],
        "primal": [i.primal.item() for i in iterates],
        "dual": [i.dual.item() / rho for i in iterates],  # published without the penalty
    }
    np.testing.assert_allclose(ours.pop("psnr"), arrays["psnr"][:count], atol=1e-3)
    for name, values in ours.items():
        np.testing.assert_allclose(values, arrays[name][:count], rtol=1e-3, err_msg=name)
    # rounding may decide whether the last one is needed
    np.testing.assert_allclose([i.cg_iterations.item() for i in iterates], arrays["cg_iters"][:count], atol=1)


@pytest.mark.parametrize("path", golden_files("admm_deblur"), ids=lambda path: path.stem)
@pytest.mark.parametrize("preconditioned", [False, True])
def test_published_deblurring(path: Path, preconditioned: bool) -> None:
    arrays = np.load(path)
    operator = build_operator({"name": "blur", "sigma": 1.0}, (3, 128, 128), 0)
    x, y = image(arrays["x_uint8"]) / 255, image(arrays["y"])
    given = Problem(operator, y, 0.5, preconditioned=preconditioned)
    model = golden_network(path.with_name("model_celeba_h32.npz")).requires_grad_(False)
    with torch.no_grad():
        iterates = list(itertools.islice(admm(given, model, operator.initial(y), rho=0.1), 20))
    error = iterates[-1].x - image(arrays["xhat"])
    if preconditioned:  # solves the x-step further than the published tolerance: within .02 dB of it
        np.testing.assert_allclose([psnr(i.x.numpy(), x.numpy())[0] for i in iterates], arrays["psnr"], atol=0.02)
        assert all(i.cg_iterations == 0 for i in iterates)
    else:
        check_published(iterates, x, arrays, 0.1)
        assert error.square().mean().sqrt() < 10 * arrays["sens_max_rms"][1]
        assert error.abs().max() < 10 * arrays["sens_max_rms"][0]


@pytest.mark.parametrize("path", golden_files("admm_cs"), ids=lambda path: path.stem)
def test_published_compressed_sensing(path: Path) -> None:
    arrays = np.load(path)
    operator = CompressedSensing((1, 256, 256), arrays["a"].astype(np.float64), arrays["sign"], arrays["indices"])
    y = torch.from_numpy(arrays["y"])[None, None]
    start = operator.initial(y)
    np.testing.assert_allclose(start[0, 0, ::2, ::2], arrays["ls_sub2"], atol=1e-5)
    model = PatchLPN(golden_network(path.with_name("model_ct_h32.npz")).requires_grad_(False), "paper")
    with torch.no_grad():  # 8 of the 80 iterations
        iterates = list(itertools.islice(admm(Problem(operator, y, 1.0), model, start, rho=0.05, splits=(box,)), 8))
    check_published(iterates, image(arrays["x"]), arrays, 0.05)


@pytest.mark.parametrize("path", golden_files("admm_tomo"), ids=lambda path: path.stem)
def test_published_tomography(path: Path) -> None:
    """Three iterations: the published run, of a briefly trained network, diverges later."""
    arrays = np.load(path)
    operator = Tomography((1, 512, 512))
    y = torch.from_numpy(arrays["y"])[None, None]
    start = operator.initial(y)
    np.testing.assert_allclose(start[0, 0, ::2, ::2], arrays["x0_fbp_sub2"], atol=1e-4)
    model = PatchLPN(golden_network(path.with_name("model_ct_h32.npz")).requires_grad_(False), "paper")
    given = Problem(operator, y, 8 / 200 / 400, preconditioned=False)
    with torch.no_grad():
        iterates = list(itertools.islice(admm(given, model, start, rho=0.05), 3))
    check_published(iterates, image(np.load(path.with_name("op_tomo.npz"))["x"]), arrays, 0.05)
    error = iterates[-1].x[0, 0, ::2, ::2] - torch.from_numpy(arrays["xhat_it3_sub2"])
    assert error.square().mean().sqrt() < 10 * arrays["sens_it3_max_rms"][1]
    assert error.abs().max() < 10 * arrays["sens_it3_max_rms"][0]
