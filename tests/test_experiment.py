"""Reconstruction in Python, without any file."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from lpn.denoisers.learned import Learned
from lpn.experiment import DivergenceError, Method, Scores, make_prior, reconstruct, record, summarise
from lpn.grid import Score, choose
from lpn.measurements import Measurement, simulate
from lpn.metrics import psnr
from lpn.networks import build_network, network_settings
from lpn.operators import LinearOperator
from lpn.operators.circular_blur import CircularBlurSettings
from lpn.tuning import tune

PDHG: dict[str, Any] = {"solver": "pdhg", "prox": {"name": "tv", "weight": 0.01}, "scale": 1.0, "iterations": 6}
CLIPPED = Scores(clip=True)


@pytest.fixture
def operator() -> LinearOperator:
    return CircularBlurSettings(kernel="box", side=3).build((3, 24, 16), 0)


@pytest.fixture
def measurement(operator: LinearOperator) -> Measurement:
    """Two smooth colour images of 24x16."""
    rows, columns = np.mgrid[:24, :20] / 24
    image = torch.from_numpy(np.stack([rows, columns, (rows + columns) / 2]).astype(np.float32))
    return simulate(torch.stack([image[..., :16], image[..., 4:]]), operator, 0.02, 0, "test")


def method(**changes: Any) -> Method:
    return Method.model_validate(PDHG | changes)


def test_border_and_channels_of_the_quality(operator: LinearOperator, measurement: Measurement) -> None:
    scores = Scores(clip=True, border=3, channelwise=True)
    image, iterations = record(reconstruct(method(), operator, measurement, scores), first=4)
    assert measurement.truth is not None
    expected = psnr(image.numpy(), measurement.truth, channelwise=True, border=3)
    images = summarise(iterations, {"scale": 1.0})
    np.testing.assert_array_equal(images.psnr, expected)
    assert images.image.tolist() == [4, 5]
    assert images.iteration.tolist() == [6, 6]
    assert set(images.tuned) == {"scale 1"}
    assert len(iterations) == 14
    assert "objective" not in iterations


ALGORITHMS: dict[str, dict[str, Any]] = {
    "tv": {"solver": {"name": "admm", "rho": 0.1}, "prox": {"name": "tv", "weight": 0.01}},
    "wavelet": {"solver": "pgd", "prox": {"name": "wavelet", "weight": 0.01, "levels": 1}},
    "nlm": {"solver": {"name": "pdhg", "tv": 0.01}, "prox": {"name": "nlm", "sigma": 0.1}},
    "dncnn": {"solver": {"name": "admm", "rho": 0.1}, "prox": {"model": "dncnn"}},
    "gradient_step": {"solver": {"name": "gradient_step", "rho": 0.1}, "prox": {"model": "gradient_step"}},
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_devices_agree(operator: LinearOperator, measurement: Measurement, name: str, device: torch.device) -> None:
    torch.manual_seed(0)
    given = method(**ALGORITHMS[name])
    network = build_network({"name": name, "channels": 3, "hidden": 2}).eval() if isinstance(given.prox, Learned) else None
    expected, result = (
        record(reconstruct(given, operator, measurement, CLIPPED, network, where)) for where in ("cpu", device)
    )
    torch.testing.assert_close(result[0].cpu(), expected[0], rtol=0, atol=1e-4)
    pd.testing.assert_frame_equal(result[1], expected[1], rtol=1e-3)


def test_stops_on_its_residuals(operator: LinearOperator, measurement: Measurement) -> None:
    _, iterations = record(reconstruct(method(iterations=500, stop=0.05), operator, measurement, CLIPPED))
    number = iterations.iteration.max()
    assert 2 < number < 100
    last = iterations[iterations.iteration == number]
    largest = iterations.groupby("image")[["primal", "dual"]].max()
    assert (last[["primal", "dual"]].to_numpy() <= 0.05 * largest.to_numpy()).all()


def test_total_variation_is_in_the_data_term(operator: LinearOperator, measurement: Measurement) -> None:
    given = method(solver={"name": "pdhg", "tv": 0.5})
    image, iterations = record(reconstruct(given, operator, measurement, Scores(clip=False)))
    residual, x = operator(image).numpy() - measurement.y, image.numpy()
    variation = np.abs(np.diff(x, axis=2)).sum((1, 2, 3)) + np.abs(np.diff(x, axis=3)).sum((1, 2, 3))
    expected = (residual**2).sum((1, 2, 3)) + 0.5 * variation
    np.testing.assert_allclose(iterations[iterations.iteration == 6].data_term, expected, rtol=1e-4)


@pytest.mark.parametrize(("solver", "weight"), [("pgd", 1 / 0.495), ({"name": "pdhg", "tv": 0.1}, (1 + 8) / 0.99)])
def test_objective_of_a_network(operator: LinearOperator, measurement: Measurement, solver: Any, weight: float) -> None:
    """Their x is z, so the objective is the sum of the recorded terms; the steps may be read after the last one."""
    network = build_network({"name": "lpn_patch", "channels": 3, "hidden": 2, "size": 8}).eval()
    steps = list(reconstruct(method(solver=solver, prox={"model": "face"}), operator, measurement, CLIPPED, network))
    assert [step.number for step in steps] == list(range(7))
    assert set(steps[0].values) == {"psnr", "ssim"}
    for step in steps[1:]:
        expected = step.values["data_term"] + weight * step.values["regulariser"]
        np.testing.assert_allclose(step.values["objective"], expected, rtol=1e-6)


def test_divergence(operator: LinearOperator, measurement: Measurement) -> None:
    network = build_network({"name": "dncnn", "channels": 3, "hidden": 4, "depth": 3}).eval().requires_grad_(False)
    network.convolutions[-1].weight *= 1e30
    given = method(prox={"model": "dncnn"}, iterations=50)
    with pytest.raises(DivergenceError, match="iterate [2-9] is not finite"):
        list(reconstruct(given, operator, measurement, CLIPPED, network))


def test_grid_search(operator: LinearOperator, measurement: Measurement) -> None:
    given = method(tune={"scale": [0.001, 5], "solver.tv": [0, 0.1]})
    rows = given.rows()
    assert rows[0] == [{"scale": 0.001, "solver.tv": 0}, {"scale": 0.001, "solver.tv": 0.1}]
    points = [point for row in rows for point in row]
    scores = tune(given, points, operator, measurement, CLIPPED)
    chosen = choose(scores)
    best = int(np.argmax([score.psnr for score in scores]))
    assert chosen.parameters == points[best]
    assert chosen.at_edge == ["scale", "solver.tv"]
    image, _ = record(reconstruct(given.at(chosen.parameters), operator, measurement, CLIPPED))
    assert measurement.truth is not None
    assert psnr(image.numpy(), measurement.truth).mean() == pytest.approx(scores[best].psnr, rel=1e-12)
    with pytest.raises(ValueError, match="lack the truth"):
        tune(given, points, operator, Measurement(measurement.y, measurement.start, measurement.observed), CLIPPED)


def test_the_first_of_equal_points_is_chosen() -> None:
    scores = [Score(parameters={"scale": i}, psnr=psnr) for i, psnr in enumerate([None, 20.0, 30.0, 30.0])]
    assert choose(scores).parameters == {"scale": 2}
    assert choose(scores).at_edge == []
    with pytest.raises(ValueError, match="diverged at every point"):
        choose(scores[:1])


def test_points_of_a_method() -> None:
    given = method(prox={"model": "face"}, tune={"prox.strength": [0.5, 1]})
    assert given.at({"prox.strength": 0.5, "iterations": 9}) == method(prox={"model": "face", "strength": 0.5}, iterations=9)
    assert Method().rows() == []
    assert Method().solver is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prox": None}, "lacks prox: a method needs solver, prox, scale, iterations, or none of them"),
        ({"solver": None, "prox": None, "scale": None, "iterations": None, "stop": 0.1}, "stop need a solver"),
        ({"tune": {"rho": [1]}}, "tune: rho is no setting of the method"),
        ({"tune": {"solver.rho": [1]}}, "tune: solver.rho is no setting"),
        ({"tune": {"scale.x": [1]}}, "tune: scale.x is no setting"),
        ({"tune": {"prox.weight": [0.1, -1]}}, "tune: prox.weight can't be -1: key 'weight' is -1: input should be"),
        ({"tune": {"scale": []}}, "at least 1 item"),
        ({"tune": {"scale": [True]}}, "must be a finite number, not True"),
        ({"tune": {}}, "at least 1 item"),
        ({"tolerance": 1e-3}, "unknown key 'tolerance'"),
    ],
)
def test_bad_methods_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        method(**changes)


def test_a_solver_given_in_python_can_be_searched(operator: LinearOperator, measurement: Measurement) -> None:
    from lpn.denoisers.tv import TV
    from lpn.solvers.admm import ADMM

    given = Method(solver=ADMM(rho=0.1), prox=TV(weight=0.1), scale=1.0, iterations=2, tune={"solver.rho": [0.1, 0.2]})
    assert given.at({"solver.rho": 0.2}).solver == ADMM(rho=0.2)
    assert len(list(reconstruct(given, operator, measurement, CLIPPED))) == 3


def test_parts_that_do_not_fit_are_refused(operator: LinearOperator, measurement: Measurement) -> None:
    network = build_network({"name": "dncnn", "channels": 3, "hidden": 2, "depth": 3})
    with pytest.raises(ValueError, match="tv is no network"):
        make_prior(method(), (3, 8, 8), network=network)
    with pytest.raises(ValueError, match="has no solver"):
        Method().algorithm()
    other = CircularBlurSettings(kernel="box", side=3).build((3, 16, 24), 0)
    with pytest.raises(ValueError, match=r"takes tensors of shape \(N, 3, 16, 24\)"):
        list(reconstruct(method(), other, measurement, CLIPPED))


ACR: dict[str, Any] = {"name": "acr", "channels": 3, "filters": 2, "layers": 1, "banks": 1, "bank_filters": 2}
UAR: dict[str, Any] = {"name": "uar", "channels": 3, "size": 16, "hidden": 1, "linear": 2, "steps": 3, "filters": 2}
DESCENT: dict[str, Any] = {
    "solver": {"name": "gradient_descent", "weight": 0.1},
    "prox": None,
    "regulariser": {"model": "r"},
}


@pytest.fixture
def square(measurement: Measurement) -> tuple[LinearOperator, Measurement]:
    """Measurements of the upper parts of the images, of 16x16."""
    assert measurement.truth is not None
    operator = CircularBlurSettings(kernel="box", side=3).build((3, 16, 16), 0)
    return operator, simulate(torch.from_numpy(measurement.truth[:, :, :16]), operator, 0.02, 0, "test")


@pytest.mark.parametrize("settings", [ACR, UAR])
def test_regularisers_are_recorded(
    square: tuple[LinearOperator, Measurement], settings: dict[str, Any], device: torch.device
) -> None:
    """Every iteration has the data term, R and their weighted sum, and the values are those of the image."""
    operator, measurement = square
    torch.manual_seed(0)
    network = build_network(settings).eval()
    steps = list(reconstruct(method(**DESCENT), operator, measurement, Scores(clip=False), network, device))
    assert [step.number for step in steps] == list(range(7))
    for step in steps[1:]:
        with torch.no_grad():
            value = network.to("cpu")(step.image.cpu()).numpy()
        residual = operator(step.image.cpu()).numpy() - measurement.y
        np.testing.assert_allclose(step.values["regulariser"], value, rtol=1e-4)
        np.testing.assert_allclose(step.values["data_term"], (residual**2).sum((1, 2, 3)), rtol=1e-4)
        np.testing.assert_allclose(step.values["objective"], step.values["data_term"] + 0.1 * value, rtol=1e-4)


def test_unrolled_steps_are_recorded(square: tuple[LinearOperator, Measurement]) -> None:
    operator, measurement = square
    network = build_network(UAR).eval()
    given = method(**DESCENT | {"solver": {"name": "unrolled"}, "iterations": 3})
    _, iterations = record(reconstruct(given, operator, measurement, CLIPPED, network))
    assert iterations.iteration.max() == 3
    assert iterations[iterations.iteration > 0][["data_term", "regulariser"]].notna().all(axis=None)
    assert "objective" not in iterations


def test_gradient_descent_stops_on_its_residuals(operator: LinearOperator, measurement: Measurement) -> None:
    given = method(**DESCENT | {"iterations": 500, "stop": 0.05})
    _, iterations = record(reconstruct(given, operator, measurement, CLIPPED, build_network(ACR).eval()))
    assert 2 < iterations.iteration.max() < 500


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"regulariser": {"model": "r"}}, "has both prox and regulariser"),
        ({"prox": None}, "lacks prox: a method needs solver, prox, scale, iterations"),
        ({"prox": None, "regulariser": {"model": "r"}}, "has regulariser, but the solver admm takes prox"),
        (DESCENT | {"regulariser": None}, "lacks regulariser: a method needs solver, regulariser, scale, iterations"),
        (
            DESCENT | {"prox": {"name": "tv", "weight": 1}, "regulariser": None},
            "the solver gradient_descent takes regulariser",
        ),
    ],
)
def test_solvers_and_their_priors_must_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**{"solver": {"name": "admm", "rho": 0.1}, **settings})


@pytest.mark.parametrize(
    ("given", "network", "message"),
    [
        (DESCENT, {**UAR, "size": 24}, "uar was made for images of 24x24, and the images are 16x16"),
        (DESCENT, {**ACR, "channels": 1}, r"takes inputs of shape \(1, any, any\); the images have \(3, 16, 16\)"),
        (DESCENT, {"name": "dncnn", "channels": 3}, "the network dncnn is no regulariser but a denoiser"),
        ({"prox": {"model": "r"}}, ACR, "the network acr is no denoiser but a regulariser: name it under 'regulariser'"),
        (DESCENT | {"solver": {"name": "unrolled"}}, ACR, "acr has no unrolled steps"),
        (DESCENT, None, "its prior is the network 'r', which must be given"),
    ],
)
def test_networks_and_methods_must_fit(given: dict[str, Any], network: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_prior(method(**given), (3, 16, 16), network=build_network(network) if network else None)


@pytest.mark.parametrize(
    ("given", "network", "certified"),
    [
        ({}, None, ""),
        ({"prox": {"model": "r"}}, {"name": "lpn_28"}, "prox"),
        ({"prox": {"model": "r", "average": "by_count"}}, {"name": "lpn_28"}, "none"),
        ({"prox": {"model": "r", "clip": True}}, {"name": "lpn_28"}, "none"),
        ({"prox": {"model": "r"}}, {"name": "dncnn"}, "none"),
        (DESCENT, ACR, "convex"),
        (DESCENT, UAR, "none"),
    ],
)
def test_what_a_method_is_certified_to_be(given: dict[str, Any], network: dict[str, Any] | None, certified: str) -> None:
    assert method(**given).certified(network_settings(network) if network else None) == certified
    assert Method().certified(None) == ""
