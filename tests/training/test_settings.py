from typing import Any

import pytest

from lpn.training.settings import Phase, TrainingSettings

from .conftest import small_settings

DNCNN = {"name": "dncnn", "channels": 3, "depth": 3, "hidden": 4}


def test_a_phase_holds_its_stages() -> None:
    with pytest.raises(ValueError, match="2 steps can't hold the 3 stages of the loss 'proximal_matching'"):
        Phase.model_validate({"loss": {"name": "proximal_matching", "gamma": [3, 2, 1]}, "steps": 2, "lr": 1e-3})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 5, "crops": 2}, "batch_size, 5, is not a multiple of crops, 2"),
        ({"network": {"name": "gradient_step"}, "compile": True}, "can't compile the network 'gradient_step'"),
        ({"phases": []}, "phases"),
        ({"phases": [{"loss": "l3", "steps": 1, "lr": 1}]}, "unknown loss 'l3'"),
        ({"phases": [{"loss": "l1", "steps": 1, "lr": 0}]}, "lr"),
        ({"augment": "flip"}, "did you mean 'flips'"),
        ({"sigma": 0}, "sigma"),
        ({"seed": -1}, "seed"),
        ({"log_every": 10}, "unknown key 'log_every'"),
    ],
)
def test_settings_that_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_settings(**changes)


def scalar(**changes: Any) -> TrainingSettings:
    return small_settings(network="lpn_scalar", **changes)


def test_shapes_of_samples() -> None:
    assert scalar().sample_shape == (1,)
    assert small_settings().sample_shape == (1, 28, 28)
    assert small_settings(patch=28).sample_shape == (1, 28, 28)
    assert small_settings(network=DNCNN, patch=20).sample_shape == (3, 20, 20)


@pytest.mark.parametrize(
    ("settings", "channels", "sizes"),
    [
        (scalar(), None, None),
        (small_settings(), 1, [(28, 28, 100)]),
        (small_settings(crops=2), 1, [(28, 30, None)]),
        (small_settings(network=DNCNN, patch=20), 3, [(321, 481, 200), (20, 30, 7)]),
        (small_settings(network=DNCNN, patch=20, crops=2), 3, None),
    ],
)
def test_data_that_fit(settings: TrainingSettings, channels: int | None, sizes: Any) -> None:
    settings.check_images(channels, sizes)


@pytest.mark.parametrize(
    ("settings", "channels", "sizes", "message"),
    [
        (scalar(), 3, None, r"takes numbers, not images \(channels: 3\)"),
        (scalar(patch=8), None, None, "takes numbers, which have no patches"),
        (scalar(crops=2), None, None, "augment and crops are for images"),
        (scalar(augment="flips"), None, None, "augment and crops are for images"),
        (small_settings(), None, None, r"takes images \(channels: 1\), not numbers"),
        (small_settings(), 3, [(28, 28, 9)], "has channels 1, but the training images have 3"),
        (small_settings(patch=14), 1, [(28, 28, 9)], "patch is 14, but .* takes sides of 28 only"),
        (small_settings(), 1, [(40, 40, 9), (20, 40, 9)], "patches of 28x28 don't fit into training images of 20x40"),
        (small_settings(crops=2), 1, [(28, 28, 9)], "crops is 2, but the training images are as small as the patches"),
        (small_settings(network=DNCNN), 3, [(28, 28, 9)], "takes images of any size, so patch must be given"),
        (small_settings(network="gradient_step", patch=15), 3, [(28, 28, 9)], "patch is 15; .* a multiple of 2"),
    ],
)
def test_data_that_do_not_fit(settings: TrainingSettings, channels: int | None, sizes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings.check_images(channels, sizes)
