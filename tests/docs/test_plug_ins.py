"""Every example of docs/plug-ins.md works as the page says: alone, and all together in one run."""

import itertools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import median_filter

from lpn.checkpoints import load_model, save_model
from lpn.data import Sources
from lpn.denoisers import ExactProx, as_prox
from lpn.experiment import Method, Scores, reconstruct, record
from lpn.images import load_images
from lpn.measurements import simulate
from lpn.networks import LPN, build_network
from lpn.operators import build_operator
from lpn.operators.identity import IdentitySettings
from lpn.prepare import prepare
from lpn.settings import KINDS, describe
from lpn.solvers import Problem, solve
from lpn.training.batches import image_batches, noisy_batches
from lpn.training.schedule import make_schedule
from lpn.training.settings import TrainingSettings
from lpn.training.trainer import Trainer

from .conftest import EXAMPLES, OF_KIND, PAGE, Project, chosen, whole, write_examples

SHAPE = (2, 64, 48)


def test_the_page_shows_one_example_of_each_kind() -> None:
    assert OF_KIND.keys() == KINDS.keys()
    assert len(EXAMPLES) == len(KINDS) == PAGE.count("```python\n")


@pytest.mark.parametrize("file", EXAMPLES)
def test_examples_are_short(file: str) -> None:
    code = EXAMPLES[file].code
    assert len(code.splitlines()) <= 30
    assert max(map(len, code.splitlines())) <= 125


@pytest.mark.parametrize("kind", KINDS)
def test_examples_describe_their_settings(folder: Path, kind: str) -> None:
    component = chosen(folder, kind)
    assert component.name.startswith(str(folder))
    text = describe(type(component))
    assert text
    assert ": None (" not in text


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_operator_measures_rows_of_the_spectrum(folder: Path, dtype: torch.dtype) -> None:
    operator = build_operator(chosen(folder, "operator"), SHAPE, seed=3)  # which tests the adjoint
    x = torch.rand(2, *SHAPE, dtype=dtype, generator=torch.Generator().manual_seed(0))
    spectrum = np.fft.fft2(x.double().numpy(), norm="ortho")
    rows = operator.rows
    assert rows[0] == 0
    assert len(rows) == len({*rows}) == SHAPE[1] / 4
    expected = spectrum[..., rows, :]
    y = operator(x)
    np.testing.assert_allclose(y.numpy(), np.stack([expected.real, expected.imag], -1), atol=1e-5)
    assert y.dtype == operator.adjoint(y).dtype == dtype
    assert operator.norm == pytest.approx(1)


def test_the_operator_is_drawn_from_the_seed(folder: Path) -> None:
    settings = chosen(folder, "operator", acceleration=3)
    rows = [build_operator(settings, SHAPE, seed).rows for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]
    assert sorted(build_operator(chosen(folder, "operator", acceleration=1), SHAPE, 0).rows) == [*range(64)]
    assert build_operator(chosen(folder, "operator", acceleration=100), SHAPE, 0).output_shape == (2, 1, 48, 2)


@pytest.mark.parametrize(("solver", "prox"), [("plug-in", "plug-in"), ("plug-in", "tv"), ("admm", "tv")])
def test_they_reconstruct(folder: Path, solver: str, prox: str) -> None:
    admm, tv = {"name": "admm", "rho": 0.1}, {"name": "tv", "weight": 0.005}
    method = Method.model_validate(
        {
            "solver": admm if solver == "admm" else chosen(folder, "solver"),
            "prox": tv if prox == "tv" else chosen(folder, "prox", size=3),
            "scale": 5,
            "iterations": 20,
        }
    )
    operator = build_operator(chosen(folder, "operator", acceleration=2), (1, 64, 64), seed=0)
    x = torch.from_numpy(np.stack([np.load(folder / f"scans/{n}.npy")[None] for n in (1, 2)]) / np.float32(4095))
    steps = reconstruct(method, operator, simulate(x, operator, 0.01, 0, "test"), Scores(clip=False))
    image, iterations = record(steps)
    assert image.shape == x.shape
    quality = iterations.groupby("iteration").psnr.mean()
    assert len(quality) == 21
    assert quality[20] > quality[0] + 1
    if prox == "plug-in":
        assert "regulariser" not in iterations


def test_the_denoiser_is_the_median_filter(folder: Path) -> None:
    v = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    z = as_prox(chosen(folder, "prox"))(v)
    for image, filtered in zip(v.numpy().reshape(4, 64, 48), z.numpy().reshape(4, 64, 48), strict=True):
        np.testing.assert_array_equal(filtered, median_filter(image, 5))
    assert as_prox(chosen(folder, "prox", clip=True))(v + 1).max() == 1


def test_the_solver_takes_the_steps_of_half_quadratic_splitting(folder: Path) -> None:
    """With A = I and the denoiser v / 2, x = (2 s y + rho v / 2) / (2 s + rho)."""
    y = torch.rand(3, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    problem = Problem(build_operator(IdentitySettings(), SHAPE, 0), y, scale=2.0)
    x, rho = y + 1, 0.1
    for iterate in itertools.islice(solve(chosen(folder, "solver", growth=3), problem, lambda v: v / 2, y + 1), 4):
        before, x = x, (4 * y + rho * x / 2) / (4 + rho)
        torch.testing.assert_close(iterate.x, x)
        torch.testing.assert_close(iterate.denoiser_input, before)
        torch.testing.assert_close(iterate.primal, (x - before / 2).flatten(1).norm(dim=1))
        torch.testing.assert_close(iterate.dual, rho * (x - before).flatten(1).norm(dim=1))
        rho *= 3


def test_the_solver_returns_the_regulariser_of_an_exact_prox(folder: Path) -> None:
    network = build_network({"name": "lpn_28", "hidden": 2})
    assert isinstance(network, LPN)
    network.project()
    y = torch.rand(2, 1, 28, 28)
    problem = Problem(build_operator(IdentitySettings(), (1, 28, 28), 0), y, scale=1.0)
    iterate = next(solve(chosen(folder, "solver"), problem, ExactProx(network, 1.0), y))
    assert iterate.regulariser is not None
    assert iterate.regulariser.shape == (2,)


def test_the_network_is_made_again_from_its_file(folder: Path, tmp_path: Path) -> None:
    network = build_network(chosen(folder, "network"))
    x = torch.rand(2, 3, 20, 24)
    torch.testing.assert_close(network(x), x - network.layers(x))
    assert sum(weight.numel() for weight in network.parameters()) == 3 * 9 * 8 + 8 + 8 * 9 * 3 + 3
    save_model(tmp_path / "model.pt", network, 0, {}, 0.0)
    torch.testing.assert_close(load_model(tmp_path / "model.pt")(x), network(x), rtol=0, atol=0)


def test_the_loss_is_its_formula(folder: Path) -> None:
    residual = torch.randn(3, 1, 4, 5)
    expected = np.sqrt(residual.numpy() ** 2 + 0.01**2).mean()
    assert chosen(folder, "loss")(residual).item() == pytest.approx(expected, rel=1e-6)


def test_the_augmentation_darkens_patches(folder: Path) -> None:
    darker = chosen(folder, "augment")
    patches = darker(torch.ones(3, 10, 12), 8, 50, np.random.default_rng(0))
    assert patches.shape == (50, 3, 8, 8)
    assert patches.dtype == torch.float32
    factors = patches[:, 0, 0, 0]
    torch.testing.assert_close(patches, factors.view(-1, 1, 1, 1).expand_as(patches), rtol=0, atol=0)
    assert 0.5 <= factors.min() < 0.55
    assert 0.95 < factors.max() <= 1
    torch.testing.assert_close(darker(torch.ones(3, 10, 12), 8, 50, np.random.default_rng(0)), patches, rtol=0, atol=0)


def prepared(folder: Path, output: Path) -> Path:
    """Prepare the data set of the page."""
    assert prepare(chosen(folder, "dataset"), output, Sources(folder)) == str(folder / "scans")
    return output


def test_the_data_set_is_prepared(folder: Path, tmp_path: Path) -> None:
    prepared(folder, tmp_path)
    numbers = {"train": range(6), "validation": (6, 7), "test": (8, 9)}
    dataset = chosen(folder, "dataset")
    for split, expected in numbers.items():
        images = load_images(tmp_path / f"{split}.npy")
        raw = np.stack([np.load(folder / f"scans/{n}.npy") for n in expected])
        np.testing.assert_array_equal(images[:, 0], raw.astype(np.float32) / 4095)
        assert dataset.sizes(split) == [(*images.shape[2:], None)]
        assert dataset.channels == images.shape[1]


def test_a_training_with_network_loss_and_augmentation(folder: Path, tmp_path: Path) -> None:
    phases = [{"loss": chosen(folder, "loss"), "steps": 60, "lr": 1e-2}]
    parts = {"network": chosen(folder, "network", channels=1), "augment": chosen(folder, "augment"), "phases": phases}
    spec = TrainingSettings.model_validate({"sigma": 0.1, "seed": 0, "batch_size": 4, "crops": 2, "patch": 16, **parts})
    images = load_images(prepared(folder, tmp_path) / "train.npy")
    spec.check_images(images.shape[1], [(*images.shape[2:], len(images))])
    batches = image_batches(images, 4, 0, patch=16, crops=2, augment=spec.augment)
    torch.manual_seed(0)
    network = build_network(spec.network)
    stages = make_schedule(spec.phases, math.prod(spec.sample_shape))
    trainer = Trainer(network, noisy_batches(batches, 0.1, 0), stages)
    first, *losses = [trainer.step().item() for _ in range(60)]
    assert first > 0.1
    assert np.mean(losses[-10:]) < 0.075  # the mean of |noise| is 0.08
    clean = batches(1000)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert (network(noisy) - clean).square().mean() < 0.9 * (noisy - clean).square().mean()


def test_all_of_them_in_one_run(project: Project) -> None:
    """One network, two methods; then edits of two plug-ins rerun the jobs that use them, and no others."""
    mine = project.folder / "mine"
    mine.mkdir()
    write_examples(mine)
    (mine / "mine.yaml").write_text(json.dumps(whole()))
    shutil.rmtree(project.folder / "data")
    project.snakemake("--configfile", "mine/mine.yaml")
    results = project.folder / "results/mine"
    assert "charbonnier.py:Charbonnier" in (results / "models/residual/training.csv").read_text()
    assert json.loads((results / "models/residual/model_config.json").read_text())["hidden"] == 8
    table = pd.read_csv(results / "tables/mri.csv")
    assert len(table) == 2
    assert {path.stem for path in (results / "figures").glob("*.pdf")} == {"mri_comparison", "mri_convergence"}
    for method in ("median", "learned"):
        images = pd.read_csv(results / f"experiments/mri/{method}/0.csv")
        assert (images.psnr > 10).all()
        assert list(images.iteration) == [4, 4]
    # the same by the library
    method = Method.model_validate(
        {"solver": chosen(mine, "solver"), "prox": chosen(mine, "prox"), "scale": 5, "iterations": 4}
    )
    x = torch.from_numpy(np.stack([np.load(mine / f"scans/{n}.npy")[None] for n in (8, 9)]).astype(np.float32) / 4095)
    operator = build_operator(chosen(mine, "operator"), (1, 64, 64), seed=0)
    image, _ = record(reconstruct(method, operator, simulate(x, operator, 0.01, 0, "test"), Scores(clip=True)))
    with np.load(results / "experiments/mri/median/0.npz") as arrays:
        np.testing.assert_allclose(arrays["reconstruction"], image.numpy(), atol=1e-5)

    (mine / "mri.py").write_text(EXAMPLES["mri.py"].code.replace("import torch\n", "import torch  # for its FFT\n"))
    (mine / "darker.py").write_text(EXAMPLES["darker.py"].code.replace("1 - self.most", "1 - 0.9 * self.most"))
    learned = {"Training residual", "Reconstructing mri by learned, part 0", "Making the table mri"}
    drawn = {"Drawing the figure mri_comparison", "Drawing the figure mri_convergence"}
    drawn |= {"Making the page of the run", "Recording what made the results"}
    assert project.planned("--configfile", "mine/mine.yaml") == learned | drawn
