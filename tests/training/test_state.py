import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import DEVICES
from torch import Tensor

from lpn.errors import UserError
from lpn.networks import build_network
from lpn.training.state import Checkpoints, Identity
from lpn.training.trainer import Batch, Interrupted, Trainer, train

from .conftest import PHASES, checkpoints_in, records_of, small_settings, small_trainer


def train_until(trainer: Trainer, checkpoints: Checkpoints, step: int) -> None:
    """Train up to `step`, in the middle of an interval if it is odd, and save."""
    take = trainer.step

    def take_and_stop(batch: Batch | None = None) -> Tensor:
        loss = take(batch)
        if trainer.step_count == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss

    trainer.step = take_and_stop
    with pytest.raises(Interrupted):
        train(trainer, checkpoints.save, log_every=2)


def assert_same(trainer: Trainer, other: Trainer) -> None:
    """Compare weights and optimisers, bit for bit."""
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name]), name
    states = [run.optimizer.state_dict()["state"] for run in (trainer, other)]
    assert all(torch.equal(states[0][k][n], states[1][k][n]) for k in states[0] for n in states[0][k])


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_resumed_training_ends_in_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole = small_trainer()
    expected = records_of(whole, checkpoints_in(tmp_path / "whole"))
    assert [record["step"] for record in expected] == [2, 4, 6, 8, 9]

    checkpoints = checkpoints_in(tmp_path / "parts")
    train_until(small_trainer(), checkpoints, stop)
    second = small_trainer()
    with torch.no_grad():
        for weight in second.model.parameters():
            weight.zero_()  # whatever it starts from must not matter
    assert checkpoints.restore(second) == []
    assert second.step_count == stop
    assert records_of(second, checkpoints) == expected
    assert_same(whole, second)


@pytest.mark.parametrize("second", DEVICES)
@pytest.mark.parametrize("first", DEVICES)
def test_another_device_goes_on(tmp_path: Path, first: str, second: str) -> None:
    """With the same samples and noise: in the bits of a training that stayed on the CPU, or up to the rounding of a GPU."""
    whole = small_trainer()
    records_of(whole, checkpoints_in(tmp_path / "whole"))
    checkpoints = checkpoints_in(tmp_path / "parts")
    train_until(small_trainer(device=first), checkpoints, 5)
    trainer = small_trainer(device=second)
    checkpoints.restore(trainer)
    records_of(trainer, checkpoints)
    if first == second == "cpu":
        assert_same(whole, trainer)
    for name, value in trainer.model.state_dict().items():
        torch.testing.assert_close(value.cpu(), whole.model.state_dict()[name], rtol=1e-3, atol=1e-5, msg=name)


def test_resumed_training_keeps_its_decay(tmp_path: Path) -> None:
    phases = [{"loss": "l2", "steps": 6, "lr": 1e-2, "final_lr": 1e-4}]
    whole = small_trainer(phases=phases)
    expected = records_of(whole, checkpoints_in(tmp_path / "whole", phases=phases))
    checkpoints = checkpoints_in(tmp_path / "parts", phases=phases)
    train_until(small_trainer(phases=phases), checkpoints, 3)
    second = small_trainer(phases=phases)
    checkpoints.restore(second)
    assert records_of(second, checkpoints) == expected
    assert_same(whole, second)


@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.9])
def test_damaged_checkpoint_falls_back_to_the_previous_one(tmp_path: Path, part: float) -> None:
    trainer, checkpoints = small_trainer(), checkpoints_in(tmp_path)
    records_of(trainer, checkpoints, save_seconds=0)
    content = checkpoints.current.read_bytes()
    checkpoints.current.write_bytes(content[: int(part * len(content))])
    resumed = small_trainer()
    (note,) = checkpoints.restore(resumed)
    assert resumed.step_count == 8
    assert resumed.records == trainer.records[:-1]
    damaged = tmp_path / f"{checkpoints.current.name}.damaged"
    assert str(checkpoints.current) in note
    assert f"renamed to {damaged.name}" in note
    assert damaged.read_bytes() == content[: int(part * len(content))]
    assert records_of(resumed, checkpoints) == trainer.records


def longer(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the phases of the small training with changes of each, and further ones."""
    return [(PHASES[i] if i < len(PHASES) else {}) | change for i, change in enumerate(changes)]


LONGER = [
    longer({}, {}, {"loss": "l2", "steps": 3, "lr": 1e-4}),  # another phase
    longer({}, {"loss": {"name": "proximal_matching", "gamma": [0.4, 0.2]}, "steps": 5}, PHASES[0]),
]


@pytest.mark.parametrize("phases", LONGER)
def test_a_longer_training_goes_on_from_a_shorter_one(tmp_path: Path, phases: list[dict[str, Any]]) -> None:
    """It ends in the bits of one that was not interrupted, and leaves the states of the shorter one."""
    whole = small_trainer(phases=phases)
    expected = records_of(whole, checkpoints_in(tmp_path / "whole", phases=phases))
    records_of(small_trainer(), short := checkpoints_in(tmp_path / "parts"))
    content = short.current.read_bytes()
    second, checkpoints = small_trainer(phases=phases), checkpoints_in(tmp_path / "parts", phases=phases)
    (tmp_path / "parts/model.pt").write_text("no state")
    (note,) = checkpoints.restore(second)
    assert str(short.current) in note
    assert (tmp_path / "parts/model.pt").exists()
    assert second.step_count == 9
    assert records_of(second, checkpoints) == expected
    assert_same(whole, second)
    assert short.current.read_bytes() == content


def test_a_lengthened_phase_goes_on(tmp_path: Path) -> None:
    phases = [PHASES[0]]
    records_of(small_trainer(phases=phases), checkpoints_in(tmp_path, phases=phases))
    phases = longer({"steps": 7})
    whole = small_trainer(phases=phases)
    records_of(whole, checkpoints_in(tmp_path / "whole", phases=phases))
    second, checkpoints = small_trainer(phases=phases), checkpoints_in(tmp_path, phases=phases)
    assert len(checkpoints.restore(second)) == 1
    assert second.step_count == 4
    records_of(second, checkpoints)
    assert_same(whole, second)


def test_the_most_advanced_state_is_the_start(tmp_path: Path) -> None:
    for steps in (1, 3, 2):
        phases = longer({"steps": steps})
        records_of(small_trainer(phases=phases), checkpoints_in(tmp_path, phases=phases))
    trainer = small_trainer()
    checkpoints_in(tmp_path).restore(trainer)
    assert trainer.step_count == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"sigma": 0.2},
        {"seed": 1},
        {"batch_size": 5},
        {"weight_decay": 0.1},
        {"phases": longer({"lr": 1e-2}, {})},
        {"phases": longer({"final_lr": 1e-5}, {})},
        {"phases": longer({"steps": 3}, {})},
        {"phases": longer({"loss": "l2"}, {})},
        {"phases": longer({})},  # shorter
    ],
    ids=str,
)
def test_states_of_other_trainings_are_left_alone(tmp_path: Path, changes: dict[str, Any]) -> None:
    records_of(small_trainer(), checkpoints_in(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.pt")}
    other = small_trainer(phases=changes.get("phases", PHASES))
    checkpoints = checkpoints_in(tmp_path, **changes)
    assert checkpoints.restore(other) == []
    assert other.step_count == 0
    records_of(other, checkpoints)
    after = {path.name: path.read_bytes() for path in tmp_path.glob("*.pt")}
    assert before.items() < after.items()


def test_other_data_are_another_training(tmp_path: Path) -> None:
    settings = small_settings()
    records_of(small_trainer(), Checkpoints(tmp_path, Identity(settings, {"data": "abc"})))
    other = small_trainer()
    assert Checkpoints(tmp_path, Identity(settings, {"data": "xyz"})).restore(other) == []
    assert other.step_count == 0
    assert Checkpoints(tmp_path, Identity(settings, {"data": "abc"})).restore(other) == []
    assert other.step_count == 9


def test_state_of_another_network_is_refused(tmp_path: Path) -> None:
    checkpoints = checkpoints_in(tmp_path)
    records_of(small_trainer(), checkpoints)
    other = small_trainer()
    other.model = build_network({"name": "lpn_28", "hidden": 5})
    with pytest.raises(UserError, match=f"{checkpoints.current.name} is a checkpoint of another architecture"):
        checkpoints.restore(other)
