"""Training: the loss schedule, the loop, exact resume.

Every random draw is a function of the step (see `lpn.seeds`), so the state of a run is its step, weights and optimiser:
a run that was killed and resumed ends in the same bits as one that was not.
"""

import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lpn.checkpoints import load_state, read_checkpoint, write_checkpoint
from lpn.errors import UserError
from lpn.losses import LOSSES
from lpn.networks import Denoiser
from lpn.parallel import WHOLE, Share
from lpn.seeds import torch_generator


@dataclass(frozen=True)
class Stage:
    """A run of steps that share loss and gamma; `stop` is the step after its last one.

    The learning rate falls exponentially from `lr` at the first step of the phase, of which the stage is a part, to
    `final_lr` at its end.
    """

    stop: int
    loss: str
    gamma: float
    lr: float
    final_lr: float
    phase: range

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        if self.final_lr == self.lr:
            return self.lr
        return self.lr * (self.final_lr / self.lr) ** ((step - self.phase.start) / len(self.phase))


def make_schedule(phases: Iterable[dict[str, Any]], dimension: int) -> list[Stage]:
    """Turn the `phases` of a config into stages.

    A phase {loss, steps, lr} is one stage; with `final_lr` its learning rate decays exponentially. A proximal matching
    phase has a list `gamma` and is split in that many stages of steps // len(gamma) steps, the last one taking the
    remainder. gamma is given for one-dimensional data and multiplied by sqrt(dimension), the growth of a residual's norm
    with the number of entries (the published schedule).

    Raises UserError where a phase has fewer steps than gammas.
    """
    stages: list[Stage] = []
    start = 0
    for phase in phases:
        gammas = phase.get("gamma") or [0.0]
        length = phase["steps"] // len(gammas)
        if length == 0:
            raise UserError(f"config key 'phases': {phase['steps']} steps can't hold the {len(gammas)} values of gamma.")
        stop = start + phase["steps"]
        for i, gamma in enumerate(gammas):
            end = stop if i == len(gammas) - 1 else start + (i + 1) * length
            rates = (phase["lr"], phase.get("final_lr", phase["lr"]))
            stages.append(Stage(end, phase["loss"], gamma * dimension**0.5, *rates, range(start, stop)))
        start = stop
    return stages


def stage_at(stages: list[Stage], step: int) -> Stage:
    """Return the stage that `step` belongs to; steps past the end belong to the last stage."""
    return next((stage for stage in stages if step < stage.stop), stages[-1])


class Trainer:
    """Trains a denoiser: clean batch, noisy = clean + sigma N(0, I), loss of f(noisy) - clean, Adam, projection.

    Args:
        model: the network, on its device.
        batches: step -> clean batch (N, *input_shape), or this process's share of it, on the model's device.
        stages: the schedule, from `make_schedule`.
        sigma: standard deviation of the noise.
        seed: seed of the noise stream.
        clip: whether noisy samples are clipped to [0, 1].
        weight_decay: weight of  1/2 ||weights||^2  in the loss.
        bf16: compute f in bfloat16 autocast; weights, losses and optimiser stay in float32.
        compile: pass the network through `torch.compile`.
        first_step: steps that were taken before, by the model that training starts from: random streams go on from there.
        identity: names what is trained; a state of another identity is not resumed.
        share: this process's share of every batch. The processes hold the same weights and take the same steps; any number
            goes on from the state of any other.
    """

    def __init__(
        self,
        model: Denoiser,
        batches: Callable[[int], Tensor],
        stages: list[Stage],
        *,
        sigma: float,
        seed: int,
        clip: bool = False,
        weight_decay: float = 0.0,
        bf16: bool = False,
        compile: bool = False,
        first_step: int = 0,
        identity: str = "",
        share: Share = WHOLE,
    ) -> None:
        self.first_step, self.identity, self.share = first_step, identity, share
        self.model = model.to(memory_format=torch.channels_last)
        self.f = torch.compile(model) if compile else model
        if share.count > 1:
            self.f = DistributedDataParallel(self.f, static_graph=True)  # static: f does not depend on the last bias of psi
        self.batches, self.stages, self.sigma, self.seed, self.clip, self.bf16 = batches, stages, sigma, seed, clip, bf16
        self.device = next(model.parameters()).device
        self.optimizer = torch.optim.Adam(model.parameters(), weight_decay=weight_decay, fused=True)
        self.step_count = 0
        self.losses: list[Tensor] = []  # since the last record
        self.records: list[dict[str, Any]] = []

    @property
    def total_steps(self) -> int:
        """Number of steps of the whole schedule."""
        return self.stages[-1].stop

    def step(self) -> Tensor:
        """Take one step and return its loss over the whole batch, a scalar tensor that is not waited for."""
        stage = stage_at(self.stages, self.step_count)
        for group in self.optimizer.param_groups:
            group["lr"] = stage.lr_at(self.step_count)
        clean = self.batches(self.first_step + self.step_count)
        generator = torch_generator(self.seed, "noise", self.first_step + self.step_count, device=self.device)
        size = len(clean) * self.share.count
        noise = torch.randn(size, *clean.shape[1:], generator=generator, device=self.device, dtype=clean.dtype)
        noisy = torch.add(clean, noise[self.share.of(size)], alpha=self.sigma)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            output = self.f(noisy.clamp_(0, 1) if self.clip else noisy)
        loss = LOSSES[stage.loss](output.to(clean.dtype) - clean, stage.gamma)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.model.project()
        self.step_count += 1
        return self.share.mean(loss.detach())

    def finish_interval(self, stage: Stage) -> dict[str, Any]:
        """Turn the losses since the last record into a new one, {step, loss_name, gamma, lr, loss}, and return it.

        Raises UserError as `check_finite` does.
        """
        self.check_finite()
        self.records.append(
            {
                "step": self.step_count,
                "loss_name": stage.loss,
                "gamma": stage.gamma,
                "lr": stage.lr_at(self.step_count - 1),
                "loss": torch.stack(self.losses).double().mean().item(),
            }
        )
        self.losses = []
        return self.records[-1]

    def check_finite(self) -> None:
        """Raise UserError, naming the step, where a loss since the last record, or a weight, is not finite."""
        values = torch.stack([*self.losses, sum(weight.detach().sum() for weight in self.model.parameters())]).cpu()
        bad = (~values.isfinite()).nonzero().flatten()
        if len(bad):
            raise UserError(
                f"the loss became {values[bad[0]].item()} at step {self.step_count - len(self.losses) + int(bad[0])}. The "
                "last good checkpoint was kept. Lower the learning rate 'lr' of that phase, or train in fp32 if 'precision' "
                "is bf16."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return all that training needs to go on, with the keys of published checkpoints among it."""
        return {
            "iteration": self.step_count,
            "model_state_dict": self.model.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "loss": self.records[-1]["loss"] if self.records else None,
            "losses": self.losses,
            "identity": self.identity,
            "records": self.records,
        }

    def load_state_dict(self, state: dict[str, Any], source: str | Path) -> None:
        """Go on from a state; raises UserError, naming `source`, where it is another network's."""
        load_state(self.model, state["model_state_dict"], source)
        self.optimizer.load_state_dict(state["optimizer_state_dict"])
        self.step_count, self.records = state["iteration"], state["records"]
        self.losses = [loss.to(self.device) for loss in state["losses"]]


class Checkpoints:
    """The resumable state of one training run: `state.pt` in a folder, and the one before it as `previous.pt`."""

    def __init__(self, folder: str | Path) -> None:
        self.current, self.previous = Path(folder) / "state.pt", Path(folder) / "previous.pt"

    def save(self, trainer: Trainer) -> None:
        """Save the trainer's state, in the first process; at every moment at least one whole state is on the disk."""
        if trainer.share.rank:
            return
        if self.current.exists():
            self.current.replace(self.previous)
        write_checkpoint(self.current, trainer.state_dict())

    def restore(self, trainer: Trainer) -> list[str]:
        """Load the newest state of this trainer, if any; remove damaged and foreign ones and return what was wrong."""
        problems = []
        for unfinished in self.current.parent.glob(f".{self.current.name}.*"):  # of a process that was killed
            unfinished.unlink(missing_ok=True)
        for path in (self.current, self.previous):
            if path.exists():
                try:
                    state = read_checkpoint(path)
                except UserError as error:
                    problems.append(str(error))
                    path.unlink()
                    continue
                if state.get("identity") != trainer.identity:
                    problems.append(f"{path} is the state of a training with other settings, data or start.")
                    path.unlink()
                    continue
                trainer.load_state_dict(state, path)
                break
        return problems


class Interrupted(SystemExit):
    """Training was asked to stop (SIGTERM) and did, after saving its state."""


def train(
    trainer: Trainer,
    checkpoints: Checkpoints,
    *,
    log_every: int = 100,
    validate: Callable[[Denoiser], dict[str, float]] | None = None,
    validate_every: int = 1000,
    save_seconds: float = 60,
    on_record: Callable[[dict[str, Any]], None] = lambda record: None,
) -> None:
    """Train to the end; `trainer.records` is then the whole log, one record per `log_every` steps.

    Args:
        trainer: what to train, as `checkpoints.restore` left it.
        checkpoints: where its state is kept.
        log_every: steps between two records.
        validate: model -> metrics, merged into the record every `validate_every` steps (a multiple of `log_every`).
        save_seconds: seconds between two checkpoints; how often is no part of the result.
        on_record: called with every new record, for progress bars and TensorBoard.

    Raises UserError where the loss is not finite, and Interrupted, after a last checkpoint, on SIGTERM. Of several processes
    the first one alone minds the signal, so that no other leaves it waiting in the middle of a step.
    """
    terminated: list[bool] = []
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN if trainer.share.rank else lambda *_: terminated.append(True))
    saved = time.monotonic()
    try:
        while trainer.step_count < trainer.total_steps:
            stage = stage_at(trainer.stages, trainer.step_count)
            trainer.losses.append(trainer.step())
            last = trainer.step_count == trainer.total_steps
            if last or trainer.step_count % log_every == 0:
                record = trainer.finish_interval(stage)
                if validate and (last or trainer.step_count % validate_every == 0):
                    record.update(validate(trainer.model))
                on_record(record)
            if last or terminated or time.monotonic() - saved >= save_seconds:
                trainer.check_finite()
                checkpoints.save(trainer)
                saved = time.monotonic()
            if terminated:
                raise Interrupted(143)
    finally:
        signal.signal(signal.SIGTERM, before)
