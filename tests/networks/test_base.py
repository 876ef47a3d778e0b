from pathlib import Path

import pytest
import torch
from conftest import SMALL

from lpn.networks import LPN, Regulariser, build_network, network_settings
from lpn.networks.lpn_28 import Lpn28

SETTINGS = [
    *SMALL.values(),
    {"name": "dncnn", "depth": 3, "hidden": 2},
    {"name": "gradient_step", "hidden": 2},
    {"name": "ar", "size": 16, "hidden": 2},
    {"name": "acr", "filters": 2, "layers": 1},
    {"name": "uar", "size": 16, "hidden": 2, "steps": 1},
]


@pytest.mark.parametrize("values", SETTINGS, ids=str)
def test_settings_describe_the_network(values: dict) -> None:
    """A network is made again from its own settings, and has the input that they say."""
    settings = network_settings(values)
    model = build_network(settings)
    assert model.config["name"] == values["name"]
    assert settings.input_shape == model.input_shape
    assert (settings.role == "lpn") == isinstance(model, LPN)
    assert (settings.role in ("regulariser", "convex regulariser")) == isinstance(model, Regulariser)
    assert (settings.role in ("lpn", "convex regulariser")) == bool(model.constrained_weights())
    again = build_network(model.config)
    assert again.config == model.config
    again.load_state_dict(model.state_dict())


def test_mappings_and_settings_build_the_same() -> None:
    models = []
    for settings in ({"name": "lpn_28", "hidden": 3}, Lpn28(hidden=3)):
        torch.manual_seed(0)
        models.append(build_network(settings).state_dict())
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_unknown_networks_and_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown network 'lpn_27'; did you mean 'lpn_28'"):
        build_network({"name": "lpn_27"})
    with pytest.raises(ValueError, match="widht"):
        build_network({"name": "lpn_28", "widht": 3})
    with pytest.raises(ValueError, match="greater than 0"):
        build_network({"name": "lpn_28", "hidden": 0})


PLUG_IN = """
import torch
from lpn.networks import Network, NetworkSettings

class Scaling(Network):
    def __init__(self, settings):
        super().__init__(settings.model_dump(), settings.input_shape)
        self.factor = torch.nn.Parameter(torch.tensor(settings.factor))

    def forward(self, x):
        return self.factor * x

class ScalingSettings(NetworkSettings):
    factor: float = 0.5

    @property
    def input_shape(self):
        return (1, None, None)

    def build(self):
        return Scaling(self)

class Broken(NetworkSettings):
    def build(self):
        return undefined
"""


def test_a_network_of_a_plug_in(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUG_IN)
    model = build_network({"name": f"{tmp_path}/mine.py:ScalingSettings", "factor": 2.0})
    assert model(torch.ones(1, 1, 2, 2)).sum() == 8
    assert build_network(model.config).config == model.config
    with pytest.raises(ValueError, match=r"mine\.py, line 25: NameError"):
        build_network({"name": f"{tmp_path}/mine.py:Broken"})
