"""Steps that are recorded as CUDA graphs."""

from pathlib import Path

import pytest
import torch
from conftest import CUDA
from torch import Tensor

from lpn.training.trainer import Trainer

from .conftest import checkpoints_in, records_of, small_trainer

PHASES = [
    {"loss": "l1", "steps": 8, "lr": 1e-3, "final_lr": 1e-4},
    {"loss": {"name": "proximal_matching", "gamma": [0.4, 0.2]}, "steps": 12, "lr": 1e-4},
]


def trained(device: str, folder: Path, capture: bool = True) -> Trainer:
    """Return a training at its end, as the states in a folder let it go on."""
    torch.backends.cudnn.deterministic = True
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
def test_recorded_steps_are_the_others(device: str, tmp_path: Path) -> None:
    """Also with a learning rate that changes in every step."""
    recorded = trained(device, tmp_path / "recorded")
    assert recorded.captures == (device == "cuda")
    assert (recorded.captured is not None and recorded.captured[1].graph is not None) == recorded.captures
    assert same(recorded, trained(device, tmp_path / "not", capture=False))


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_recorded_training_goes_on_from_any_state(device: str, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("device", [CUDA])
def test_a_step_that_reads_values_is_not_recorded(
    device: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = small_trainer(phases=PHASES, device=device, capture=True)
    f = trainer.f

    def reads(noisy: Tensor) -> Tensor:
        return f(noisy) * (1 if noisy.sum().item() else 0)

    trainer.f = reads
    others = small_trainer(phases=PHASES, device=device)
    assert [trainer.step().item() for _ in range(7)] == [others.step().item() for _ in range(7)]
    assert "are not recorded as a CUDA graph" in capsys.readouterr().out
