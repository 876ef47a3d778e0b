"""Data sets that need no download: photographs, phantoms and Laplace samples."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from data.conftest import dataset, prepare_set
from lpn.data import SPLITS, Sources
from lpn.images import load_images, to_tensor
from lpn.prepare import prepare
from lpn.training.shard import Shard


@pytest.mark.parametrize("name", ["photographs", "phantoms"])
def test_images(tmp_path: Path, name: str) -> None:
    """They have the sizes that the settings tell, are the same every time, and no two splits share an image."""
    known = dataset(name)
    seen = []
    for run in ("first", "second"):
        prepare_set(name, tmp_path / run, tmp_path / "data")
    for split in SPLITS:
        stored = load_images(tmp_path / f"first/{split}.npy")
        images = to_tensor(stored)
        assert known.sizes(split) == [(128, 128, len(images))]
        assert images.shape[1:] == (known.channels, 128, 128)
        assert images.min() >= 0
        assert images.max() <= 1
        np.testing.assert_array_equal(stored, load_images(tmp_path / f"second/{split}.npy"))
        seen.append({image.tobytes() for image in stored})
        assert len(seen[-1]) == len(images)
    assert all(not a & b for a, b in itertools.combinations(seen, 2))
    assert known.same_everywhere


def test_laplace_samples() -> None:
    known = dataset("laplace")
    batch = known.batches(100_000, 1)
    samples = batch(0)
    assert samples.shape == (100_000, *known.sample_shape)
    assert samples.dtype == torch.float32
    assert torch.equal(samples, known.batches(100_000, 1)(0))
    assert not torch.equal(samples, batch(1))
    assert abs(samples.mean()) < 0.02
    assert abs(samples.abs().mean() - 1) < 0.02  # the scale
    assert abs(samples.var() - 2) < 0.06
    halves = [known.batches(100_000, 1, Shard(rank, 2))(0) for rank in range(2)]
    assert torch.equal(torch.cat(halves), samples)


def test_laplace_samples_are_not_prepared(tmp_path: Path) -> None:
    known = dataset("laplace")
    assert not known.prepared
    assert known.channels is None
    with pytest.raises(ValueError, match="no images to prepare"):
        prepare(known, tmp_path / "out", Sources(tmp_path))
