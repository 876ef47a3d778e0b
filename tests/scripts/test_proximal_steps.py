"""Repeated proximal steps from noisy images."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lpn import tables
from lpn.checkpoints import load_model
from lpn.denoisers import PatchLPN
from lpn.networks import LPN
from lpn.prior import invert, regulariser

SPEC = {"model": "net", "images": [1, 3], "noise": 0.1, "seed": 0, "steps": [0, 1, 2, 5]}
NETWORK = {"name": "lpn_patch", "channels": 3, "hidden": 2, "size": 8, "alpha": 0.4}


def outputs(folder: Path) -> list[object]:
    return ["--output", folder / "steps.csv", "--arrays", folder / "steps.npz", "--device", "cpu"]


@pytest.mark.parametrize("size", [8, 16])
def test_the_prior_falls(
    run: Callable[..., None], model: Callable[..., Path], data: Path, tmp_path: Path, size: int
) -> None:
    """Of a network of patches, and of one of whole images; R is that of an inversion."""
    path = model(**NETWORK | {"size": size})
    run("proximal_steps", "--spec", SPEC, "--model", path, "--data", data, *outputs(tmp_path))
    table, images = pd.read_csv(tmp_path / "steps.csv"), np.load(tmp_path / "steps.npz")["images"]
    assert list(table) == list(tables.STEPS)
    assert table[["level", "image"]].to_numpy().tolist() == [[k, image] for k in SPEC["steps"] for image in SPEC["images"]]
    values = table.pivot(index="image", columns="level", values="regulariser")
    assert values[0].isna().all()  # of the noisy images
    assert (values[2] <= values[1]).all()
    assert (values[5] <= values[2]).all()

    network = load_model(path).double()
    assert isinstance(network, LPN)
    whole = network if size == 16 else PatchLPN(network)
    first, second = (torch.from_numpy(images[k]) for k in (0, 1))
    torch.testing.assert_close(whole(first), second)
    noise = images[0] - np.load(data / "test.npy")[[1, 3]] / 255.0
    assert 0.08 < noise.std() < 0.12
    if size == 16:
        inversion = invert(network, second)
        exact = regulariser(network, second, inversion.y)
        np.testing.assert_allclose(exact, values[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("network", "change", "message"),
    [
        (NETWORK | {"channels": 1}, {}, r"test\.npy: .*images of 1 channels"),
        ({"name": "dncnn", "channels": 3, "hidden": 2}, {}, "no learned proximal network of images"),
        ({"name": "lpn_scalar"}, {}, "no learned proximal network of images"),
        (NETWORK, {"images": [9]}, "has only 5 images"),
        (NETWORK, {"noise": 0}, "noise"),
        (NETWORK, {"steps": []}, "steps"),
    ],
)
def test_what_has_no_steps_is_refused(
    refused: Callable[..., str],
    model: Callable[..., Path],
    data: Path,
    tmp_path: Path,
    network: dict[str, Any],
    change: dict[str, Any],
    message: str,
) -> None:
    arguments = ["--spec", SPEC | change, "--model", model(**network), "--data", data, *outputs(tmp_path)]
    assert re.search(message, refused("proximal_steps", *arguments))
    assert not (tmp_path / "steps.csv").exists()
