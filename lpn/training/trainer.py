"""The training step and the loop around it."""

import math
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lpn.checkpoints import load_state
from lpn.errors import UserError, on_stop_signals
from lpn.losses import Pair
from lpn.networks import Network, Regulariser
from lpn.training.batches import prefetch
from lpn.training.captured import CapturedStep, pinned
from lpn.training.schedule import Stage, stage_at
from lpn.training.shard import WHOLE, Shard

Batch = tuple[Tensor, Tensor] | Pair  # (clean, noisy), each (N, *input_shape); or pairs for regularisers


class DivergenceError(ArithmeticError):
    """A loss exploded, or a weight became NaN or infinite."""


class Interrupted(SystemExit):
    """Training was asked to stop by a signal and did, after it saved its state."""


def _groups(model: Network, weight_decay: float) -> list[dict[str, Any]]:
    """Return the parameters of a network for an optimiser: those that decay, and the rest, if there is any."""
    decayed = model.decayed_weights()
    chosen = {id(weight) for weight in decayed}
    rest = [weight for weight in model.parameters() if id(weight) not in chosen]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _check_scalar(loss: Tensor, stage: Stage) -> None:
    if loss.dim():
        raise UserError(f"the loss '{stage.phase.loss.name}' returns {tuple(loss.shape)}: it must return a scalar.")


class Trainer:
    """Trains a network: loss of f(noisy) - clean, or of pairs, Adam, projection.

    Args:
        model: the network, on its device.
        batches: number -> batch, or this process's shard of it, on the CPU; called by a thread ahead of time.
        stages: the schedule, from `make_schedule`.
        betas: decay rates of Adam's moments.
        weight_decay: weight of  1/2 ||weights||^2  in the loss, of `Network.decayed_weights`.
        precision: "bf16" computes f in bfloat16 autocast; weights, losses and optimiser stay in float32. The others change
            nothing here, see `lpn.compute.use_precision`.
        compile: pass the network through `torch.compile`.
        capture: capture the steps as a CUDA graph, if one process trains on a GPU; see `CapturedStep`.
        first_step: steps that the model took before this training; random streams go on from there.
        shard: this process's shard of every batch. The processes hold the same weights and take the same steps; any number
            of processes goes on from the state of any other number.

    Attributes:
        waited: seconds that steps waited for their batches.
    """

    def __init__(
        self,
        model: Network,
        batches: Callable[[int], Batch],
        stages: list[Stage],
        *,
        betas: Sequence[float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        precision: Literal["fp32", "tf32", "bf16"] = "fp32",
        compile: bool = False,
        capture: bool = False,
        first_step: int = 0,
        shard: Shard = WHOLE,
    ) -> None:
        self.first_step, self.shard = first_step, shard
        self.model = model.to(memory_format=torch.channels_last)
        self.f: Callable[[Tensor], Tensor] = torch.compile(model) if compile else model
        if shard.count > 1 and not isinstance(model, Regulariser):  # whose gradients `_step_of_player` averages
            assert isinstance(self.f, torch.nn.Module)
            self.f = DistributedDataParallel(self.f, static_graph=True)  # static: f does not depend on the last bias of psi
        self.stages, self.precision = stages, precision
        self.device = next(model.parameters()).device
        one_gpu = self.device.type == "cuda" and shard.count == 1
        self.captures = capture and one_gpu and not isinstance(model, Regulariser)
        self.batches = pinned(cast("Callable[[int], tuple[Tensor, Tensor]]", batches)) if self.captures else batches
        self.optimizer = torch.optim.Adam(_groups(model, weight_decay), betas=(betas[0], betas[1]), fused=True)
        self._prepare_optimizer()
        self.step_count, self.waited = 0, 0.0
        self.losses: list[Tensor] = []  # since the last record
        self.records: list[dict[str, Any]] = []

    @property
    def total_steps(self) -> int:
        """Number of steps of the whole schedule."""
        return self.stages[-1].stop

    def batch_number(self, step: int) -> int:
        """Return the number of the batch of a step."""
        return self.first_step + stage_at(self.stages, step).batch_at(step)

    def step(self, batch: Batch | None = None) -> Tensor:
        """Take one step and return its loss over the whole batch, a scalar tensor that is not waited for.

        `batch` is that of the step, if it is already made.
        """
        stage = stage_at(self.stages, self.step_count)
        self._set_lr(stage.lr_at(self.step_count))
        batch = batch or self.batches(self.batch_number(self.step_count))
        if isinstance(batch, Pair):
            loss = self._step_of_player(stage, batch)
        elif self.captures:
            loss = self._captured_step(stage)(*batch)
        else:
            loss = self._step_of_network(stage, *batch)
        self.step_count += 1
        return self.shard.mean(loss)

    def _captured_step(self, stage: Stage) -> CapturedStep:
        """Return the step of a stage, each of which is captured anew, since its loss differs."""
        if self.last_captured is None or self.last_captured[0] is not stage:
            self.last_captured = None  # frees the memory of the last one
            self.last_captured = stage, CapturedStep(partial(self._step_of_network, stage), self.device)
        return self.last_captured[1]

    def _step_of_network(self, stage: Stage, clean: Tensor, noisy: Tensor) -> Tensor:
        """Take a step by the loss of residuals, and return it."""
        clean, noisy = clean.to(self.device), noisy.to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            output = self.f(noisy)
        if output.shape != clean.shape:
            raise UserError(f"the network returns {tuple(output.shape)} for samples {tuple(clean.shape)}; keep the shape.")
        loss = stage.loss(output.to(clean.dtype) - clean)
        _check_scalar(loss, stage)
        loss.backward()
        self.optimizer.step()
        self.model.project()
        return loss.detach()

    def _step_of_player(self, stage: Stage, pair: Pair) -> Tensor:
        """Take a step of the player that the loss of pairs moves, and return it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss, weights = stage.loss(self.model, pair.to(self.device), self.step_count - stage.start)
        _check_scalar(loss, stage)
        loss.backward(inputs=weights)
        self.shard.average([weight.grad for weight in weights if weight.grad is not None])
        self.optimizer.step()
        self.model.project()
        return loss.detach()

    def _prepare_optimizer(self) -> None:
        """Let a captured step read the learning rate, which changes from step to step, from the GPU."""
        self.last_captured: tuple[Stage, CapturedStep] | None = None
        if self.captures:
            self.lr = torch.zeros((), device=self.device)
            for group in self.optimizer.param_groups:
                group |= {"lr": self.lr, "capturable": True}

    def _set_lr(self, lr: float) -> None:
        if self.captures:
            self.lr.fill_(lr)
        else:
            for group in self.optimizer.param_groups:
                group["lr"] = lr

    def optimizer_state(self) -> dict[str, Any]:
        """Return the state of Adam, with which a training goes on whether its steps are captured or not."""
        state = self.optimizer.state_dict()
        for group in state["param_groups"]:
            group |= {"lr": float(group["lr"]), "capturable": False}
        return state

    def finish_interval(self) -> dict[str, Any]:
        """Turn the losses since the last record into a new one, and return it.

        Its keys are step, loss_name, what the stage logs (such as gamma), lr and loss, all of the last step's stage.
        Raises DivergenceError as `check_finite` does.
        """
        self.check_finite()
        stage = stage_at(self.stages, self.step_count - 1)
        lr, loss = stage.lr_at(self.step_count - 1), torch.stack(self.losses).double().mean().item()
        record = {"step": self.step_count, "loss_name": stage.phase.loss.name, **stage.logged, "lr": lr, "loss": loss}
        self.records.append(record)
        self.losses = []
        return record

    def check_finite(self) -> None:
        """Raise DivergenceError, naming the step, if a loss since the last record exploded, or a weight is not finite."""
        weights = torch.stack([weight.detach().sum() for weight in self.model.parameters()]).sum()
        values = torch.stack([*self.losses, weights]).cpu()
        limits = torch.full_like(values, stage_at(self.stages, self.step_count - 1).phase.loss.largest)
        limits[-1] = math.inf
        bad = (~(values.abs() < limits)).nonzero().flatten().tolist()
        if bad and bad[0] < len(self.losses):
            step = self.step_count - len(self.losses) + bad[0]
            raise DivergenceError(f"the loss became {values[bad[0]].item()} at step {step}")
        for name, weight in self.model.named_parameters() if bad else ():
            if not weight.isfinite().all():
                raise DivergenceError(f"the weight {name} became NaN or infinite at step {self.step_count - 1}")

    def state_dict(self) -> dict[str, Any]:
        """Return all that training needs to go on, with the keys of published checkpoints."""
        return {
            "iteration": self.step_count,
            "model_state_dict": self.model.state_dict(),
            "optimizer_state_dict": self.optimizer_state(),
            "loss": self.records[-1]["loss"] if self.records else None,
            "losses": self.losses,
            "records": self.records,
        }

    def load_state_dict(self, state: dict[str, Any], source: str | Path) -> None:
        """Go on from a state. Raises UserError, naming `source`, if it is another network's."""
        load_state(self.model, state["model_state_dict"], source)
        self.optimizer.load_state_dict(state["optimizer_state_dict"])
        self._prepare_optimizer()
        self.step_count, self.records = state["iteration"], state["records"]
        self.losses = [loss.to(self.device) for loss in state["losses"]]


def train(
    trainer: Trainer,
    save: Callable[[Trainer], None],
    *,
    log_every: int = 100,
    validate: Callable[[Network], dict[str, float]] | None = None,
    validate_every: int = 1000,
    save_seconds: float = 60,
    on_record: Callable[[dict[str, Any]], None] = lambda record: None,
) -> None:
    """Train to the end; `trainer.records` is then the whole log.

    Args:
        trainer: what to train, from where it is.
        save: saves the trainer's state, see `lpn.training.state.Checkpoints`.
        log_every: steps between two records. A stage, the training and a validation end one as well.
        validate: model -> metrics, merged into the record every `validate_every` steps and at the end.
        validate_every: steps between two validations.
        save_seconds: seconds between two checkpoints; they do not change the result.
        on_record: called with every new record, for progress bars and TensorBoard.

    Raises DivergenceError if the loss is not finite, and Interrupted, after a last checkpoint, on SIGTERM, SIGINT or SIGHUP.
    If there are several processes only the first one reacts to the signal, so that no process waits for another that ended
    in the middle of a step.
    """
    ends = {stage.stop for stage in trainer.stages}
    saved = time.monotonic()
    received: list[int] = []
    handler = signal.SIG_IGN if trainer.shard.rank else lambda number, frame: received.append(number)
    numbers = (trainer.batch_number(step) for step in range(trainer.step_count, trainer.total_steps))
    with on_stop_signals(handler), closing(prefetch(trainer.batches, numbers)) as batches:
        while trainer.step_count < trainer.total_steps:
            asked = time.monotonic()
            batch = next(batches)
            trainer.waited += time.monotonic() - asked
            trainer.losses.append(trainer.step(batch))
            step, last = trainer.step_count, trainer.step_count == trainer.total_steps
            validates = validate is not None and (last or step % validate_every == 0)
            if validates or step in ends or step % log_every == 0:
                record = trainer.finish_interval()
                if validate is not None and validates:
                    record.update(validate(trainer.model))
                on_record(record)
            if last or received or time.monotonic() - saved >= save_seconds:
                trainer.check_finite()
                save(trainer)
                saved = time.monotonic()
            if received:
                raise Interrupted(128 + received[0])
