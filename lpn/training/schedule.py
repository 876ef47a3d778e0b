"""The schedule of a training: which loss and learning rate each step has."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lpn.training.settings import Phase


@dataclass(frozen=True)
class Stage:
    """A run of steps with one loss function.

    The learning rate falls exponentially from `lr` at the first step of the phase, of which the stage is a part, to
    `final_lr` at its end.

    Attributes:
        stop: the step after the last one.
        loss: residuals (N, ...) -> loss, a scalar.
        settings: settings of the loss that all stages of the phase share, with its name.
        logged: what is particular to the stage, for the log, e.g. {"gamma": 0.1}.
        lr: learning rate at the start of the phase.
        final_lr: learning rate at its end.
        phase: the steps of the phase.
    """

    stop: int
    loss: Callable[[Tensor], Tensor]
    settings: dict[str, Any]
    logged: dict[str, float]
    lr: float
    final_lr: float
    phase: range

    @property
    def loss_name(self) -> str:
        """Name of the loss."""
        return self.settings["name"]

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        return _rate(step, self.lr, self.final_lr, self.phase.start, self.phase.stop)


def _rate(step: int, lr: float, final_lr: float, start: int, stop: int) -> float:
    if final_lr == lr:
        return lr
    return lr * (final_lr / lr) ** ((step - start) / (stop - start))


def make_schedule(phases: Iterable[Phase], dimension: int) -> list[Stage]:
    """Turn phases into stages.

    A phase is split into the stages of its loss (`Loss.stages`). Each has steps // (number of stages) steps; the last one
    also has the remainder. `dimension` is the number of entries of a sample.

    Raises ValueError if a phase has fewer steps than stages.
    """
    stages: list[Stage] = []
    start = 0
    for phase in phases:
        parts = phase.loss.stages(dimension)
        length = phase.steps // len(parts)
        if length == 0:
            raise ValueError(f"{phase.steps} steps can't hold the {len(parts)} stages of the loss '{phase.loss.name}'")
        stop = start + phase.steps
        rates = (phase.lr, phase.lr if phase.final_lr is None else phase.final_lr)
        for i, (loss, logged) in enumerate(parts):
            end = stop if i == len(parts) - 1 else start + (i + 1) * length
            settings = {key: value for key, value in phase.loss.model_dump(mode="json").items() if key not in logged}
            stages.append(Stage(end, loss, settings, logged, *rates, range(start, stop)))
        start = stop
    return stages


def stage_at(stages: list[Stage], step: int) -> Stage:
    """Return the stage that `step` belongs to; steps past the end belong to the last stage."""
    return next((stage for stage in stages if step < stage.stop), stages[-1])


def describe_steps(stages: list[Stage]) -> list[dict[str, Any]]:
    """Return a schedule as plain values, to be stored and compared by `agree`."""
    return [
        {
            "stop": stage.stop,
            "loss": stage.settings | stage.logged,
            "lr": stage.lr,
            "final_lr": stage.final_lr,
            "phase": [stage.phase.start, stage.phase.stop],
        }
        for stage in stages
    ]


def agree(schedule: list[dict[str, Any]], other: list[dict[str, Any]], steps: int) -> bool:
    """Return whether two schedules, of `describe_steps`, have the same loss and learning rate at each of the first steps."""
    if steps > min(schedule[-1]["stop"], other[-1]["stop"]):
        return False
    step = 0
    while step < steps:
        a, b = (next(stage for stage in stages if step < stage["stop"]) for stages in (schedule, other))
        end = min(a["stop"], b["stop"], steps)
        rates = ([_rate(i, x["lr"], x["final_lr"], *x["phase"]) for i in range(step, end)] for x in (a, b))
        if a["loss"] != b["loss"] or next(rates) != next(rates):
            return False
        step = end
    return True
