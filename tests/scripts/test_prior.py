"""Learned priors at images."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch

from lpn import tables
from lpn.checkpoints import load_model
from lpn.networks import LPN
from lpn.perturb import PERTURBATIONS
from lpn.prior import METHODS, regulariser

SPEC = {"model": "net", "perturbation": "gaussian", "levels": [0, 0.05], "images": 2, "seed": 0, "tolerance": 1e-4}
NETWORK = {"name": "lpn_patch", "channels": 3, "hidden": 2, "size": 8, "alpha": 0.4}


def outputs(folder: Path) -> list[object]:
    return ["--output", folder / "prior.csv", "--arrays", folder / "prior.npz", "--device", "cpu"]


def test_prior_at_the_centres_of_larger_images(
    run: Callable[..., None], model: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    path = model(**NETWORK)
    run("prior", "--spec", SPEC, "--model", path, "--data", data, *outputs(tmp_path))
    prior, arrays = pd.read_csv(tmp_path / "prior.csv"), np.load(tmp_path / "prior.npz")
    assert list(prior) == list(tables.PRIORS)
    assert prior[["level", "image"]].to_numpy().tolist() == [[0, 0], [0, 1], [0.05, 0], [0.05, 1]]
    assert set(prior.model) == {"net"}
    assert set(prior.perturbation) == {"gaussian"}
    clean = np.load(data / "test.npy")[:2, :, 4:12, 4:12] / 255.0
    np.testing.assert_array_equal(arrays["perturbed"][0], clean)
    np.testing.assert_array_equal(arrays["perturbed"][1], PERTURBATIONS["gaussian"](clean, 0.05, 0))
    np.testing.assert_allclose(arrays["residual"].ravel(), prior.residual, rtol=1e-8)
    assert arrays["residual"].max() <= 1e-4
    network = load_model(path).double()
    assert isinstance(network, LPN)
    x, y = (torch.from_numpy(arrays[name][1]) for name in ("perturbed", "inverse"))
    np.testing.assert_allclose(network(y), arrays["mapped_back"][1], rtol=1e-10)
    np.testing.assert_allclose(regulariser(network, x, y), prior.regulariser[2:], rtol=1e-7)


@pytest.mark.parametrize(
    ("network", "change", "message"),
    [
        (NETWORK | {"channels": 1}, {}, "images of 3 channels, but the model needs 1"),
        (NETWORK | {"size": 32}, {}, r"test\.npy: squares of side 32 don't fit"),
        ({"name": "dncnn", "channels": 3, "hidden": 2}, {}, "no learned proximal network of images"),
        ({"name": "lpn_scalar"}, {}, "no learned proximal network of images"),
        (NETWORK, {"images": 9}, "has only 5 images"),
        (NETWORK, {"levels": [0, 0]}, "not all different"),
        (NETWORK, {"levels": []}, "levels"),
        (NETWORK, {"levels": [-0.1]}, "'levels.0' is -0.1"),
        (NETWORK, {"perturbation": "rotation"}, "perturbation"),
        (NETWORK, {"method": "ls", "max_iterations": 1}, "stopped at a relative residual"),
    ],
)
def test_what_has_no_prior_is_refused(
    refused: Callable[..., str],
    model: Callable[..., Path],
    data: Path,
    tmp_path: Path,
    network: dict[str, Any],
    change: dict[str, Any],
    message: str,
) -> None:
    arguments = ["--spec", SPEC | change, "--model", model(**network), "--data", data, *outputs(tmp_path)]
    assert re.search(message, refused("prior", *arguments))
    assert not (tmp_path / "prior.csv").exists()


def test_the_settings_know_all_methods_and_perturbations(run: Callable[..., None]) -> None:
    from prior import PriorSpec  # `run` puts the scripts on the path

    fields = PriorSpec.model_fields
    assert get_args(fields["method"].annotation) == METHODS
    assert get_args(fields["perturbation"].annotation) == tuple(PERTURBATIONS)
