"""Steps that are captured as CUDA graphs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CUDA

from lpn.training.job import TrainSpec, captures
from lpn.training.trainer import Trainer

from .conftest import checkpoints_in, records_of, small_settings, small_trainer

PHASES = [
    {"loss": "l1", "steps": 8, "lr": 1e-3, "final_lr": 1e-4},
    {"loss": {"name": "proximal_matching", "gamma": [0.4, 0.2]}, "steps": 12, "lr": 1e-4},
]


@pytest.fixture(autouse=True)
def deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cuDNN compute the same thing twice, as jobs do."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


def trained(device: str, folder: Path, capture: bool = True) -> Trainer:
    """Return a training at its end, as the states in a folder let it go on."""
    trainer = small_trainer(phases=PHASES, device=device, capture=capture)
    checkpoints = checkpoints_in(folder, phases=PHASES)
    checkpoints.restore(trainer)
    records_of(trainer, checkpoints, save_seconds=0)
    return trainer


def same(a: Trainer, b: Trainer) -> bool:
    """Return whether two trainings have the same weights and log."""
    pairs = zip(a.model.parameters(), b.model.parameters(), strict=True)
    return a.records == b.records and all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_captured_steps_are_the_others(device: str, tmp_path: Path) -> None:
    """Also with a learning rate that changes in every step."""
    captured = trained(device, tmp_path / "captured")
    assert captured.captures == (device == "cuda")
    assert (captured.last_captured is not None and captured.last_captured[1].graph is not None) == captured.captures
    assert same(captured, trained(device, tmp_path / "not", capture=False))


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_captured_training_goes_on_from_any_state(device: str, tmp_path: Path) -> None:
    whole = trained(device, tmp_path / "whole")
    for capture in (True, False):
        checkpoints = checkpoints_in(tmp_path / f"{capture}", phases=PHASES)
        part = small_trainer(phases=PHASES, device=device, capture=not capture)
        for _ in range(6):
            part.losses.append(part.step())
            if part.step_count % 2 == 0:
                part.finish_interval()
        checkpoints.save(part)
        assert same(whole, trained(device, tmp_path / f"{capture}", capture))


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_training_goes_on_on_another_device(device: str, tmp_path: Path) -> None:
    """The state is the same, whatever took the steps."""
    part = small_trainer(phases=PHASES, device=device, capture=True)
    for _ in range(6):
        part.step()
    state = part.state_dict()
    assert all(type(group["lr"]) is float and not group["capturable"] for group in part.optimizer_state()["param_groups"])
    others = small_trainer(phases=PHASES)
    others.load_state_dict(state, "state")
    part.load_state_dict(state, "state")  # a step that was captured before does not stay
    losses = [[trainer.step().item() for _ in range(6)] for trainer in (part, others)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "captured"),
    [({}, True), ({"compile": True}, False), ({"network": {"name": "gradient_step"}, "patch": 8}, False)],
)
def test_which_steps_are_captured(changes: dict[str, Any], captured: bool) -> None:
    assert captures(TrainSpec.model_validate(small_settings(**changes).model_dump(mode="json"))) == captured
