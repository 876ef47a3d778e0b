"""Training on several processes takes the steps of one."""

import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SCALAR_TRAINING, train_command
from torch import Tensor, distributed, multiprocessing

from lpn.checkpoints import load_model, read_checkpoint
from lpn.data import image_batches, laplace_batches
from lpn.errors import UserError
from lpn.networks import build_network
from lpn.parallel import WHOLE, Share
from lpn.training import Trainer, make_schedule

PHASES = [
    {"loss": "l1", "steps": 3, "lr": 1e-3},
    {"loss": "l2", "steps": 2, "lr": 1e-3},
    {"loss": "proximal_matching", "steps": 3, "lr": 1e-4, "gamma": [0.4]},
]
IMAGES = np.random.default_rng(0).random((10, 1, 32, 30)).astype(np.float32)


def both_shares(make) -> Tensor:
    """Return the batch of step 3, put together from what two processes have."""
    return torch.cat([make(Share(rank, 2))(3) for rank in range(2)])


@pytest.mark.parametrize(("augment", "crops"), [(None, 1), ("flips", 2), ("ranges", 2), ("ct", 2)])
def test_shares_make_up_the_batch(augment: str | None, crops: int) -> None:
    def make(share: Share):
        return image_batches(IMAGES, 8, 0, patch=16, crops=crops, augment=augment, share=share)

    assert torch.equal(both_shares(make), make(WHOLE)(3))


def test_shares_of_drawn_samples_make_up_the_batch() -> None:
    def make(share: Share):
        return laplace_batches(50, 1, share=share)

    assert torch.equal(both_shares(make), make(WHOLE)(3))


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UserError, match="3 processes can't share the 4 images.*batch_size"):
        image_batches(IMAGES, 8, 0, patch=16, crops=2, share=Share(0, 3))


def train_float64(share: Share, network: dict) -> tuple[dict[str, Tensor], list[float]]:
    """Take all steps in double precision and return the weights and the losses."""
    torch.manual_seed(share.rank)  # the first process's weights count
    model = build_network(network).double()
    if share.rank == 0:
        torch.manual_seed(0)
        model = build_network(network).double()
    patches = image_batches(IMAGES, 8, 0, patch=28 if network["name"] == "lpn_28" else 16, augment="flips", share=share)
    trainer = Trainer(model, lambda step: patches(step).double(), make_schedule(PHASES, 100), sigma=0.1, seed=0, share=share)
    losses = [trainer.step().item() for _ in range(trainer.total_steps)]
    return trainer.model.state_dict(), losses


NETWORKS = [
    {"name": "lpn_28", "hidden": 3},
    {"name": "dncnn", "channels": 1, "depth": 3, "hidden": 4},
    {"name": "gradient_step", "channels": 1, "hidden": 4, "blocks": 1},
]


def train_share(rank: int, folder: Path) -> None:
    """Train each network as one of two processes, and write what comes out."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    torch.save([train_float64(Share(rank, 2), network) for network in NETWORKS], folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    """Gradient parity, through Adam: one process with batch 2B equals two with batch B, to double precision."""
    multiprocessing.spawn(train_share, (tmp_path,), nprocs=2)
    shared = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for i, network in enumerate(NETWORKS):
        weights, losses = train_float64(WHOLE, network)
        for shared_weights, shared_losses in (shared[0][i], shared[1][i]):
            np.testing.assert_allclose(shared_losses, losses, rtol=1e-12)
            for name, value in weights.items():
                torch.testing.assert_close(shared_weights[name], value, rtol=1e-9, atol=1e-12)


# at ten times this rate rounding errors may grow to .05 over the steps, as in any chaotic system; here they don't
SPEC = SCALAR_TRAINING | {"phases": [{"loss": "l1", "steps": 2000, "lr": 1e-4}]}


def iteration(state: Path) -> int:
    """Return the step of a saved state, 0 where there is none."""
    try:
        return torch.load(state, weights_only=True)["iteration"]
    except FileNotFoundError:  # also for a moment while a new one takes its place
        return 0


def test_any_number_of_processes_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """Two processes, SIGTERM, one, SIGTERM, two again: the same log and prox as one, to rounding errors."""
    subprocess.run(train_command(tmp_path / "whole", SPEC), check=True, capture_output=True)
    state, done = tmp_path / "parts/checkpoints/state.pt", 0
    for processes in (2, 1):
        with subprocess.Popen(train_command(tmp_path / "parts", SPEC, processes), stderr=subprocess.DEVNULL) as process:
            while iteration(state) == done and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
        assert done < iteration(state) < 2000
        assert not (tmp_path / "parts/model.pt").exists()
        done = iteration(state)
    subprocess.run(train_command(tmp_path / "parts", SPEC, 2), check=True, capture_output=True)
    models = [load_model(tmp_path / name / "model.pt") for name in ("whole", "parts")]
    x = torch.linspace(-3, 3, 50)[:, None]
    torch.testing.assert_close(models[1](x), models[0](x), rtol=0, atol=1e-5)
    assert read_checkpoint(tmp_path / "parts/model.pt")["iteration"] == 2000
    logs = [np.genfromtxt(tmp_path / name / "training.csv", delimiter=",", names=True) for name in ("whole", "parts")]
    np.testing.assert_allclose(logs[1]["loss"], logs[0]["loss"], rtol=1e-6)
