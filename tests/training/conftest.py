"""Small trainings."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lpn.networks import build_network
from lpn.training.batches import image_batches, noisy_batches
from lpn.training.schedule import Stage, make_schedule
from lpn.training.settings import Phase, TrainingSettings
from lpn.training.state import Checkpoints, Identity
from lpn.training.trainer import Trainer, train

PHASES: list[dict[str, Any]] = [
    {"loss": "l1", "steps": 4, "lr": 1e-3},
    {"loss": {"name": "proximal_matching", "gamma": [0.4, 0.2]}, "steps": 5, "lr": 1e-4},
]


def stages_of(phases: list[dict[str, Any]], dimension: int) -> list[Stage]:
    """Return the stages of phases."""
    return make_schedule([Phase.model_validate(phase) for phase in phases], dimension)


def small_trainer(
    seed: int = 0, phases: list[dict[str, Any]] = PHASES, device: torch.device | str = "cpu", **options: Any
) -> Trainer:
    """Return the training of a small network on 10 images of noise."""
    torch.manual_seed(seed)
    model = build_network({"name": "lpn_28", "hidden": 2}).to(device)
    images = np.random.default_rng(0).integers(0, 256, (10, 1, 28, 28)).astype(np.uint8)
    return Trainer(model, noisy_batches(image_batches(images, 4, seed), 0.1, seed), stages_of(phases, 784), **options)


def small_settings(**changes: Any) -> TrainingSettings:
    """Return the settings of a training, with changes."""
    values = {"network": {"name": "lpn_28", "hidden": 2}, "sigma": 0.1, "seed": 0, "batch_size": 4, "phases": PHASES}
    return TrainingSettings.model_validate(values | changes)


def checkpoints_in(folder: Path, **changes: Any) -> Checkpoints:
    """Return the checkpoints of `small_settings` in a folder."""
    return Checkpoints(folder, Identity(small_settings(**changes)))


def records_of(trainer: Trainer, checkpoints: Checkpoints, **options: Any) -> list[dict[str, Any]]:
    """Train to the end and return the log, a record every two steps."""
    train(trainer, checkpoints.save, log_every=2, **options)
    return trainer.records
