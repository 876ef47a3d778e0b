from typing import Any

import numpy as np
import pytest
from conftest import BUNDLED

from lpn.training.schedule import Stage, agree, make_schedule, stage_at
from lpn.training.settings import Phase

from .conftest import PHASES, stages_of


def proximal_matching(gamma: list[float], **values: Any) -> dict[str, Any]:
    return {"loss": {"name": "proximal_matching", "gamma": gamma}, **values}


@pytest.mark.parametrize(
    ("name", "phases", "dimension"),
    [
        ("mnist", [(20000, None), (20000, [0.64, 0.32, 0.16, 0.08])], 784),
        ("celeba", [(20000, None), (20000, [0.64, 0.32, 0.16, 0.08])], 3 * 128 * 128),
        ("mayoct", [(20000, None), (20000, [0.64, 0.32, 0.16, 0.08])], 128 * 128),
        ("odd403", [(100, None), (303, [8, 4, 2, 1])], 1),
    ],
)
def test_published_schedules(name: str, phases: list[tuple[int, list[float] | None]], dimension: int) -> None:
    arrays = np.load(BUNDLED / "schedule.npz")
    stages = stages_of(
        [
            proximal_matching(gamma, steps=steps, lr=1e-4) if gamma else {"loss": "l1", "steps": steps, "lr": 1e-3}
            for steps, gamma in phases
        ],
        dimension,
    )
    for step, is_pm, gamma, lr in zip(*(arrays[f"{name}/{key}"] for key in ("step", "is_pm", "sigma", "lr")), strict=True):
        stage = stage_at(stages, step)
        assert stage.loss_settings["name"] == ("proximal_matching" if is_pm else "l1")
        assert stage.lr_at(step) == lr
        assert stage.logged == ({"gamma": pytest.approx(gamma, rel=1e-12)} if is_pm else {})


def test_learning_rates_decay_exponentially_over_a_phase() -> None:
    """By the same factor every step, through all stages of the phase, towards the final rate at its end."""
    phases = [
        {"loss": "l1", "steps": 10, "lr": 1e-3},
        proximal_matching([2, 1], steps=21, lr=1e-3, final_lr=1e-5),
        {"loss": "l2", "steps": 5, "lr": 2e-4, "final_lr": 2e-4},
    ]
    stages = stages_of(phases, 1)
    rates = [stage_at(stages, step).lr_at(step) for step in range(36)]
    assert rates[:10] == [1e-3] * 10
    assert rates[10] == 1e-3
    np.testing.assert_allclose(np.divide(rates[11:31], rates[10:30]), 0.01 ** (1 / 21), rtol=1e-12)
    assert rates[30] * 0.01 ** (1 / 21) == pytest.approx(1e-5)
    assert rates[31:] == [2e-4] * 5


def brute_force(a: list[Stage], b: list[Stage], steps: int) -> bool:
    """Compare two schedules step by step."""

    def at(stages: list[Stage], step: int) -> tuple[Any, ...]:
        stage = stage_at(stages, step)
        loss = stage.phase.loss
        return loss.name, loss.model_dump(exclude={"gamma"}), stage.logged, stage.lr_at(step)

    return steps <= min(a[-1].stop, b[-1].stop) and all(at(a, step) == at(b, step) for step in range(steps))


def test_agreement_of_schedules() -> None:
    l1 = {"loss": "l1", "steps": 4, "lr": 1e-3}
    schedules = [
        [Phase.model_validate(phase) for phase in phases]
        for phases in (
            PHASES,
            [l1],
            [l1 | {"steps": 7}],
            [l1 | {"final_lr": 1e-4}],
            [l1 | {"loss": "l2"}],
            [l1, proximal_matching([0.4], steps=5, lr=1e-4)],
            [l1, proximal_matching([0.4, 0.2], steps=8, lr=1e-4)],
            [l1, proximal_matching([0.4, 0.3], steps=5, lr=1e-4)],
            [l1 | {"steps": 2}, l1 | {"steps": 2}, *PHASES[1:]],
        )
    ]
    outcomes = set()
    for a in schedules:
        for b in schedules:
            for steps in range(10):
                expected = brute_force(make_schedule(a, 784), make_schedule(b, 784), steps)
                assert agree(a, b, steps) == expected
                outcomes.add(expected)
    assert outcomes == {True, False}
