import itertools
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import BUNDLED, build_lpn, golden_network
from torch import Tensor

from lpn.networks import LPN
from lpn.networks.dncnn import DnCNNSettings
from lpn.training.batches import noisy_batches
from lpn.training.trainer import Batch, DivergenceError, Interrupted, Trainer, train

from .conftest import checkpoints_in, records_of, small_trainer, stages_of


def test_the_optimiser_has_the_learning_rate_of_the_step() -> None:
    trainer = small_trainer(phases=[{"loss": "l2", "steps": 4, "lr": 1e-2, "final_lr": 1e-4}])
    seen = []
    for _ in range(4):
        trainer.step()
        seen.append(trainer.optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(seen, 1e-2 * 0.01 ** (np.arange(4) / 4))


def test_published_adam_steps() -> None:
    """Three l1 and three proximal matching steps on a fixed pair end in the published losses and weights."""
    arrays = np.load(BUNDLED / "net_mnist_h8.npz")
    model = golden_network(BUNDLED / "net_mnist_h8.npz")
    clean, noisy = torch.tensor(arrays["clean"]), torch.tensor(arrays["noisy"])
    phases = [
        {"loss": "l1", "steps": 3, "lr": 1e-3},
        {"loss": {"name": "proximal_matching", "gamma": [float(arrays["gamma"]) / 28]}, "steps": 3, "lr": 1e-4},
    ]
    trainer = Trainer(model, lambda step: (clean, noisy), stages_of(phases, 784))
    losses = [trainer.step().item() for _ in range(6)]
    np.testing.assert_allclose(losses, arrays["adam_losses"], rtol=1e-4)
    for name, value in model.state_dict().items():
        expected = arrays[f"adam_state/{name}"]
        assert np.linalg.norm(value.numpy() - expected) <= 1e-4 * np.linalg.norm(expected), name


def test_constrained_weights_stay_nonnegative() -> None:
    trainer = small_trainer(phases=[{"loss": "l2", "steps": 20, "lr": 0.1}])
    assert isinstance(trainer.model, LPN)
    for _ in range(20):
        trainer.step()
        assert all(weight.min() >= 0 for weight in trainer.model.constrained_weights())


def test_random_streams_go_on_from_the_first_step() -> None:
    seen = []
    trainer = small_trainer(first_step=20000)
    batches = trainer.batches
    trainer.batches = lambda step: seen.append(step) or batches(step)
    trainer.step()
    trainer.step()
    assert seen == [20000, 20001]


def test_losses_of_bfloat16_follow_those_of_float32() -> None:
    phases = [{"loss": "l1", "steps": 30, "lr": 1e-3}]
    trainers = {precision: small_trainer(phases=phases, precision=precision) for precision in ("fp32", "bf16")}
    losses = {name: [trainer.step().item() for _ in range(30)] for name, trainer in trainers.items()}
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], rtol=0.02)


def test_records_end_with_stages_and_validations(tmp_path: Path) -> None:
    """A record has the mean loss of the steps since the last one, all of one stage."""
    trainer = small_trainer()
    step, losses = trainer.step, []

    def observed(batch: Batch | None = None) -> Tensor:
        losses.append(step(batch))
        return losses[-1]

    trainer.step = observed
    train(trainer, lambda trainer: None, log_every=5, validate=lambda model: {"validation_psnr": 1.0}, validate_every=3)
    records = trainer.records
    assert [record["step"] for record in records] == [3, 4, 5, 6, 9]  # stages end at 4, 6 and 9
    assert [record["loss_name"] for record in records] == ["l1"] * 2 + ["proximal_matching"] * 3
    assert [record.get("gamma") for record in records] == pytest.approx([None, None, 11.2, 11.2, 5.6])
    assert [record["step"] for record in records if "validation_psnr" in record] == [3, 6, 9]
    assert list(records[-1]) == ["step", "loss_name", "gamma", "lr", "loss", "validation_psnr"]
    ends = [0, 3, 4, 5, 6, 9]
    means = [torch.stack(losses[a:b]).double().mean().item() for a, b in itertools.pairwise(ends)]
    assert [record["loss"] for record in records] == means


def test_a_weight_that_is_not_finite_is_named() -> None:
    """The loss of the last step is that of the weights before it."""
    trainer = small_trainer()
    trainer.losses = [trainer.step(), trainer.step()]
    trainer.check_finite()
    with torch.no_grad():
        trainer.model.get_parameter("lin.0.weight").view(-1)[0] = float("nan")
    with pytest.raises(DivergenceError, match=r"^the weight lin\.0\.weight became NaN or infinite at step 1$"):
        trainer.check_finite()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_stop_training_after_it_saved_its_state(number: signal.Signals) -> None:
    before = signal.signal(number, signal.default_int_handler)  # whatever the tests run under
    try:
        trainer, saved = small_trainer(), []
        step = trainer.step

        def step_and_signal(batch: Batch | None = None) -> Tensor:
            signal.raise_signal(number)
            return step(batch)

        trainer.step = step_and_signal
        with pytest.raises(Interrupted) as stopped:
            train(trainer, lambda trainer: saved.append(trainer.step_count))
        assert stopped.value.code == 128 + number
        assert saved == [1]
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_signals_that_are_ignored_stay_ignored() -> None:
    """As by nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        trainer = small_trainer()
        step = trainer.step

        def step_and_signal(batch: Batch | None = None) -> Tensor:
            signal.raise_signal(signal.SIGHUP)
            return step(batch)

        trainer.step = step_and_signal
        train(trainer, lambda trainer: None)
        assert trainer.step_count == 9
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nan_stops_with_the_step_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    trainer, checkpoints = small_trainer(), checkpoints_in(tmp_path)
    batches = trainer.batches

    def spoiled(step: int) -> Batch:
        batch = batches(step)
        assert isinstance(batch, tuple)
        return batch[0] * (float("nan") if step == 5 else 1), batch[1]

    trainer.batches = spoiled
    with pytest.raises(DivergenceError, match="the loss became nan at step 5"):
        records_of(trainer, checkpoints, save_seconds=0)
    resumed = small_trainer()
    checkpoints.restore(resumed)
    assert resumed.step_count == 5
    assert all(value.isfinite().all() for value in resumed.model.state_dict().values())


def test_batches_made_ahead_change_no_bit() -> None:
    """Without the thread, batch after batch, the losses and weights are the same."""
    plain, ahead = small_trainer(), small_trainer()
    expected = [plain.step().item() for _ in range(plain.total_steps)]
    train(ahead, lambda trainer: None, log_every=1)
    assert [record["loss"] for record in ahead.records] == expected
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, ahead.model.state_dict()[name]), name


def test_a_fault_of_a_batch_ends_the_training_at_its_step() -> None:
    trainer, saved = small_trainer(), []
    batches = trainer.batches

    def faulty(step: int) -> Batch:
        if step == 5:
            raise ValueError("no such batch")
        return batches(step)

    trainer.batches = faulty
    with pytest.raises(ValueError, match="no such batch"):
        train(trainer, lambda trainer: saved.append(trainer.step_count), save_seconds=0)
    assert saved == [1, 2, 3, 4, 5]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def dncnn_trainer(clip: bool = False, **options: Any) -> Trainer:
    torch.manual_seed(0)
    model = DnCNNSettings(channels=1, depth=2, hidden=3).build()
    stages = stages_of([{"loss": "sum_of_squares", "steps": 2, "lr": 1e-2}], 64)
    return Trainer(model, noisy_batches(lambda step: torch.ones(2, 1, 8, 8), 0.5, 0, clip=clip), stages, **options)


def test_noisy_samples_are_clipped() -> None:
    seen: list[Tensor] = []
    trainer = dncnn_trainer(clip=True)
    f = trainer.f
    trainer.f = lambda x: (seen.append(x), f(x))[1]
    trainer.step()
    assert seen[0].min() >= 0
    assert seen[0].max() == 1  # half of the noise is cut off where the image is 1
    assert dncnn_trainer().step() != dncnn_trainer(clip=True).step()


def test_weight_decay_is_in_the_gradient() -> None:
    """Adam's first moment after one step is (1 - beta_1) (gradient + decay weights)."""
    plain, decayed = dncnn_trainer(), dncnn_trainer(weight_decay=0.1)
    weights = [p.detach().clone() for p in plain.model.parameters()]
    plain.step()
    decayed.step()
    for weight, a, b in zip(weights, plain.model.parameters(), decayed.model.parameters(), strict=True):
        change = decayed.optimizer.state[b]["exp_avg"] - plain.optimizer.state[a]["exp_avg"]
        torch.testing.assert_close(change, 0.1 * 0.1 * weight, rtol=1e-4, atol=1e-6)


def test_batches_of_numbers() -> None:
    model = build_lpn({"name": "lpn_scalar", "hidden": 4, "layers": 1})
    stages = stages_of([{"loss": "l1", "steps": 1, "lr": 1e-3}], 1)
    assert Trainer(model, lambda step: (torch.ones(5, 1), torch.zeros(5, 1)), stages).step().isfinite()
