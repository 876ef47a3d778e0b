"""The schedule of a training: which loss and learning rate each step has."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lpn.training.settings import Phase


@dataclass(frozen=True)
class Stage:
    """A run of steps with one loss function.

    Attributes:
        stop: the step after the last one.
        loss: residuals (N, ...) -> loss, a scalar; or that of a `PairLoss`.
        logged: what is particular to the stage, for the log, e.g. {"gamma": 0.1}.
        phase: the phase of which the stage is a part.
        start: the first step of the phase.
        first_batch: the number of the batch of that step.
    """

    stop: int
    loss: Callable[..., Any]
    logged: dict[str, float]
    phase: Phase
    start: int
    first_batch: int

    @property
    def loss_settings(self) -> dict[str, Any]:
        """Name and settings of the loss, those that are particular to the stage as they are logged."""
        return self.phase.loss.model_dump(mode="json", exclude={*self.logged}) | self.logged

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step: it falls exponentially over the phase, from `lr` to `final_lr` at its end."""
        lr, final_lr = self.phase.lr, self.phase.final_lr
        if final_lr is None or final_lr == lr:
            return lr
        return lr * (final_lr / lr) ** ((step - self.start) / self.phase.steps)

    def batch_at(self, step: int) -> int:
        """Return the number of the batch of a step, which several steps may share (`Objective.steps_per_batch`)."""
        return self.first_batch + (step - self.start) // self.phase.loss.steps_per_batch


def make_schedule(phases: Iterable[Phase], dimension: int) -> list[Stage]:
    """Turn phases into stages.

    A phase is split into the stages of its loss (`Loss.stages`). Each has steps // (number of stages) steps; the last one
    also has the remainder. `dimension` is the number of entries of a sample.
    """
    stages: list[Stage] = []
    start = first_batch = 0
    for phase in phases:
        parts = phase.loss.stages(dimension)
        ends = [start + (i + 1) * (phase.steps // len(parts)) for i in range(len(parts) - 1)] + [start + phase.steps]
        stages += [Stage(end, *part, phase, start, first_batch) for end, part in zip(ends, parts, strict=True)]
        start += phase.steps
        first_batch += -(-phase.steps // phase.loss.steps_per_batch)
    return stages


def stage_at(stages: list[Stage], step: int) -> Stage:
    """Return the stage that `step` belongs to; steps past the end belong to the last stage."""
    return next((stage for stage in stages if step < stage.stop), stages[-1])


def agree(phases: Iterable[Phase], others: Iterable[Phase], steps: int) -> bool:
    """Return whether two schedules have the same loss and learning rate at each of the first steps, and go as far."""
    schedules = [make_schedule(part, 1) for part in (phases, others)]
    ends = {min(stage.stop, steps) for schedule in schedules for stage in schedule}
    for start, end in itertools.pairwise(sorted({0, *ends})):
        a, b = (stage_at(schedule, start) for schedule in schedules)
        if a.loss_settings != b.loss_settings or any(a.lr_at(step) != b.lr_at(step) for step in range(start, end)):
            return False
    return all(schedule[-1].stop >= steps for schedule in schedules)
