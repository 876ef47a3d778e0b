"""The code of docs/packages.md runs, and the examples of other packages are reconstructed on a small scale."""

from pathlib import Path

import pytest
import torch

import lpn
from lpn.checkpoints import save_model
from lpn.experiment import Method, Scores, reconstruct, record
from lpn.measurements import simulate
from lpn.networks import build_network
from lpn.operators import build_operator

from .conftest import ROOT
from .test_documents import blocks

CODE = blocks(ROOT / "docs/packages.md", "python")
EXAMPLES = sorted((ROOT / "config/examples").glob("*.yaml"))


def run_with_model(code: str, model: str, channels: int) -> None:
    """Run code in a folder with a small model in the place of a run's."""
    path = Path(model)
    path.parent.mkdir(parents=True)
    settings = {"name": "lpn_patch", "channels": channels, "hidden": 4, "size": 32, "beta": 10, "alpha": 0.1}
    save_model(path, build_network(settings))
    exec(compile(code, "packages.md", "exec"), {})


def test_learned_proximal_networks_in_deepinv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = (code for code in CODE if "import LPNDenoiser" in code)
    monkeypatch.chdir(tmp_path)
    run_with_model(code, "results/deepinv/models/lpn_inpainting/model.pt", 3)
    assert capsys.readouterr().out == "torch.Size([1, 3, 64, 64]) torch.Size([1, 3, 64, 64])\n"


@pytest.mark.filterwarnings("ignore:The 'astra_cpu' backend may be too slow:RuntimeWarning")
def test_learned_proximal_networks_in_odl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = (code for code in CODE if "import LPNFunctional" in code)
    monkeypatch.chdir(tmp_path)
    run_with_model(code, "results/subset/models/lpn_mayo_part_0.1/model.pt", 1)
    assert capsys.readouterr().out == "(64, 64)\n"


def test_a_physics_of_deepinv_as_a_plug_in(tmp_path: Path) -> None:
    (code,) = (code for code in CODE if "class Lines" in code)
    (tmp_path / "lines.py").write_text(code)
    operator = lpn.make_operator({"name": f"{tmp_path}/lines.py:Lines"}, (2, 8, 8))
    mask = torch.zeros(8, 8)
    mask[::4] = 1
    x = torch.rand(1, 2, 8, 8)
    spectrum = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(torch.complex(x[:, 0], x[:, 1])), norm="ortho"))
    torch.testing.assert_close(torch.complex(*operator(x)[0]), (mask * spectrum)[0])


@pytest.mark.filterwarnings("ignore:The 'astra_cpu' backend may be too slow:RuntimeWarning")
def test_an_operator_of_odl_as_a_plug_in(tmp_path: Path) -> None:
    (code,) = (code for code in CODE if "class Fan" in code)
    (tmp_path / "fan.py").write_text(code)
    operator = lpn.make_operator({"name": f"{tmp_path}/fan.py:Fan", "angles": 7}, (2, 16, 16))
    assert operator.output_shape[:2] == (2, 7)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run_on_small_images(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import check
    import schema

    monkeypatch.setenv("LPN_DATA", "data")
    config = check.complete([path], {})["config"]
    for experiment in config["experiments"].values():
        images = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
        operator = build_operator(
            schema.Experiment.model_validate(experiment).operator, images.shape[1:], experiment["seed"]
        )
        measurement = simulate(images, operator, experiment["noise"], experiment["seed"], "test")
        for name, settings in experiment["methods"].items():
            method = Method.model_validate(settings | ({"iterations": 2} if settings["solver"] else {}))
            learned = settings["prox"] and settings["prox"]["name"] == "learned"
            network = build_network(config["models"][settings["prox"]["model"]]["network"]) if learned else None
            image, rows = record(reconstruct(method, operator, measurement, Scores(clip=True), network))
            assert image.shape == images.shape, name
            assert len(rows) == (3 if settings["solver"] else 1), name
