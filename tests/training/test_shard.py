"""Training on several processes takes the steps of one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, multiprocessing

from lpn.augmentations import Augmentation
from lpn.augmentations.ct import CT
from lpn.augmentations.flips import Flips
from lpn.augmentations.ranges import Ranges
from lpn.data.laplace import Laplace
from lpn.networks import build_network
from lpn.training.batches import image_batches, noisy_batches
from lpn.training.shard import WHOLE, Shard
from lpn.training.trainer import Trainer

from .conftest import stages_of

PHASES = [
    {"loss": "l1", "steps": 3, "lr": 1e-3},
    {"loss": "l2", "steps": 2, "lr": 1e-3},
    {"loss": {"name": "proximal_matching", "gamma": [0.4]}, "steps": 3, "lr": 1e-4},
]
IMAGES = np.random.default_rng(0).random((10, 1, 32, 30)).astype(np.float32)


def both_shards(make: Callable[[Shard], Callable[[int], Tensor]]) -> Tensor:
    """Return the batch of step 3, put together from what two processes have."""
    return torch.cat([make(Shard(rank, 2))(3) for rank in range(2)])


@pytest.mark.parametrize(("augment", "crops"), [(None, 1), (Flips(), 2), (Ranges(), 2), (CT(), 2)], ids=str)
def test_shards_make_up_the_batch(augment: Augmentation | None, crops: int) -> None:
    def make(shard: Shard) -> Callable[[int], Tensor]:
        return image_batches(IMAGES, 8, 0, patch=16, crops=crops, augment=augment, shard=shard)

    assert torch.equal(both_shards(make), make(WHOLE)(3))


def test_shards_of_drawn_samples_make_up_the_batch() -> None:
    def make(shard: Shard) -> Callable[[int], Tensor]:
        return Laplace().batches(50, 1, shard=shard)

    assert torch.equal(both_shards(make), make(WHOLE)(3))


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="3 processes can't share the 4 images.*batch_size"):
        image_batches(IMAGES, 8, 0, patch=16, crops=2, shard=Shard(0, 3))


def train_float64(shard: Shard, network: dict[str, Any]) -> tuple[dict[str, Tensor], list[float]]:
    """Take all steps in double precision and return the weights and the losses."""
    torch.manual_seed(shard.rank)  # the first process's weights count
    model = build_network(network).double()
    if shard.rank == 0:
        torch.manual_seed(0)
        model = build_network(network).double()
    patch = 28 if network["name"] == "lpn_28" else 16
    patches = image_batches(IMAGES, 8, 0, patch=patch, augment=Flips(), shard=shard)
    stages = stages_of(PHASES, 100)
    batches = noisy_batches(lambda step: patches(step).double(), 0.1, 0, shard=shard)
    trainer = Trainer(model, batches, stages, shard=shard)
    losses = [trainer.step().item() for _ in range(trainer.total_steps)]
    return trainer.model.state_dict(), losses


NETWORKS = [
    {"name": "lpn_28", "hidden": 3},
    {"name": "dncnn", "channels": 1, "depth": 3, "hidden": 4},
    {"name": "gradient_step", "channels": 1, "hidden": 4, "blocks": 1},
]


def train_shard(rank: int, folder: Path) -> None:
    """Train each network as one of two processes, and write what comes out."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    torch.save([train_float64(Shard(rank, 2), network) for network in NETWORKS], folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    """Gradient parity, through Adam: one process with batch 2B equals two with batch B, to double precision."""
    multiprocessing.spawn(train_shard, (tmp_path,), nprocs=2)
    shared = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for i, network in enumerate(NETWORKS):
        weights, losses = train_float64(WHOLE, network)
        for shared_weights, shared_losses in (shared[0][i], shared[1][i]):
            np.testing.assert_allclose(shared_losses, losses, rtol=1e-12)
            for name, value in weights.items():
                torch.testing.assert_close(shared_weights[name], value, rtol=1e-9, atol=1e-12)
