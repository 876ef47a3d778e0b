import csv
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BUNDLED, SCALAR_TRAINING, golden_network, train_command

from lpn.data import image_batches, laplace_batches
from lpn.errors import UserError
from lpn.files import try_lock
from lpn.networks import build_network
from lpn.training import Checkpoints, Interrupted, Trainer, make_schedule, stage_at, train

PHASES = [
    {"loss": "l1", "steps": 4, "lr": 1e-3},
    {"loss": "proximal_matching", "steps": 5, "lr": 1e-4, "gamma": [0.4, 0.2]},
]


def small_trainer(seed: int = 0, phases=PHASES, **options) -> Trainer:
    torch.manual_seed(seed)
    model = build_network({"name": "lpn_28", "hidden": 2})
    images = np.random.default_rng(0).integers(0, 256, (10, 1, 28, 28)).astype(np.uint8)
    return Trainer(model, image_batches(images, 4, seed), make_schedule(phases, 784), sigma=0.1, seed=seed, **options)


@pytest.mark.parametrize(
    ("name", "phases", "dimension"),
    [
        ("mnist", [(20000, None), (20000, [0.64, 0.32, 0.16, 0.08])], 784),
        ("celeba", [(20000, None), (20000, [0.64, 0.32, 0.16, 0.08])], 3 * 128 * 128),
        ("mayoct", [(20000, None), (20000, [0.64, 0.32, 0.16, 0.08])], 128 * 128),
        ("odd403", [(100, None), (303, [8, 4, 2, 1])], 1),
    ],
)
def test_published_schedules(name: str, phases, dimension: int) -> None:
    arrays = np.load(BUNDLED / "schedule.npz")
    stages = make_schedule(
        [
            {"loss": "proximal_matching", "steps": steps, "lr": 1e-4, "gamma": gamma}
            if gamma
            else {"loss": "l1", "steps": steps, "lr": 1e-3}
            for steps, gamma in phases
        ],
        dimension,
    )
    for step, is_pm, gamma, lr in zip(*(arrays[f"{name}/{key}"] for key in ("step", "is_pm", "sigma", "lr")), strict=True):
        stage = stage_at(stages, step)
        assert stage.loss == ("proximal_matching" if is_pm else "l1")
        assert stage.lr == lr
        if is_pm:
            assert stage.gamma == pytest.approx(gamma, rel=1e-12)


def test_learning_rates_decay_exponentially_over_a_phase() -> None:
    """By the same factor every step, through all stages of the phase, towards the final rate at its end."""
    phases = [
        {"loss": "l1", "steps": 10, "lr": 1e-3},
        {"loss": "proximal_matching", "steps": 21, "lr": 1e-3, "final_lr": 1e-5, "gamma": [2, 1]},
        {"loss": "l2", "steps": 5, "lr": 2e-4, "final_lr": 2e-4},
    ]
    stages = make_schedule(phases, 1)
    rates = [stage_at(stages, step).lr_at(step) for step in range(36)]
    assert rates[:10] == [1e-3] * 10
    assert rates[10] == 1e-3
    np.testing.assert_allclose(np.divide(rates[11:31], rates[10:30]), 0.01 ** (1 / 21), rtol=1e-12)
    assert rates[30] * 0.01 ** (1 / 21) == pytest.approx(1e-5)
    assert rates[31:] == [2e-4] * 5


def test_the_optimiser_takes_the_learning_rate_of_the_step() -> None:
    trainer = small_trainer(phases=[{"loss": "l2", "steps": 4, "lr": 1e-2, "final_lr": 1e-4}])
    seen = []
    for _ in range(4):
        trainer.step()
        seen.append(trainer.optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(seen, 1e-2 * 0.01 ** (np.arange(4) / 4))


def test_resumed_training_keeps_its_decay(tmp_path: Path) -> None:
    phases = [{"loss": "l2", "steps": 6, "lr": 1e-2, "final_lr": 1e-4}]
    whole = small_trainer(phases=phases)
    expected = records_of(whole, tmp_path / "whole")
    train_until(small_trainer(phases=phases), checkpoints := Checkpoints(tmp_path / "parts"), 3)
    second = small_trainer(phases=phases)
    checkpoints.restore(second)
    assert records_of(second, tmp_path / "parts") == expected
    assert all(torch.equal(value, second.model.state_dict()[name]) for name, value in whole.model.state_dict().items())


def test_fewer_steps_than_gammas_are_refused() -> None:
    with pytest.raises(UserError, match="2 steps.*3 values"):
        make_schedule([{"loss": "proximal_matching", "steps": 2, "lr": 1e-3, "gamma": [3, 2, 1]}], 1)


def test_published_adam_steps() -> None:
    """Three l1 and three proximal matching steps on a fixed pair end in the published losses and weights."""
    arrays = np.load(BUNDLED / "net_mnist_h8.npz")
    model = golden_network(BUNDLED / "net_mnist_h8.npz")
    clean, noisy = torch.tensor(arrays["clean"]), torch.tensor(arrays["noisy"])
    phases = [
        {"loss": "l1", "steps": 3, "lr": 1e-3},
        {"loss": "proximal_matching", "steps": 3, "lr": 1e-4, "gamma": [float(arrays["gamma"]) / 28]},
    ]
    trainer = Trainer(model, lambda step: clean, make_schedule(phases, 784), sigma=0.0, seed=0)
    f = trainer.f
    trainer.f = lambda x: f(noisy)  # the pair is fixed
    losses = [trainer.step().item() for _ in range(6)]
    np.testing.assert_allclose(losses, arrays["adam_losses"], rtol=1e-4)
    for name, value in model.state_dict().items():
        expected = arrays[f"adam_state/{name}"]
        assert np.linalg.norm(value.numpy() - expected) <= 1e-4 * np.linalg.norm(expected), name


def test_constrained_weights_stay_nonnegative() -> None:
    trainer = small_trainer(phases=[{"loss": "l2", "steps": 20, "lr": 0.1}])
    for _ in range(20):
        trainer.step()
        assert all(weight.min() >= 0 for weight in trainer.model.constrained_weights())


def records_of(trainer: Trainer, folder: Path, **options) -> list[dict]:
    """Train to the end and return the log."""
    train(trainer, Checkpoints(folder), log_every=2, **options)
    return trainer.records


def train_until(trainer: Trainer, checkpoints: Checkpoints, step: int) -> None:
    """Train up to `step`, in the middle of an interval where it is odd, and save."""
    take = trainer.step

    def take_and_stop() -> torch.Tensor:
        loss = take()
        if trainer.step_count == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss

    trainer.step = take_and_stop
    with pytest.raises(Interrupted):
        train(trainer, checkpoints, log_every=2)


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_resumed_training_ends_in_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole = small_trainer()
    expected = records_of(whole, tmp_path / "whole")
    assert [record["step"] for record in expected] == [2, 4, 6, 8, 9]

    checkpoints = Checkpoints(tmp_path / "parts")
    train_until(small_trainer(), checkpoints, stop)
    second = small_trainer()
    with torch.no_grad():
        second.model.lin[0].weight.zero_()  # whatever it starts from must not matter
    assert checkpoints.restore(second) == []
    assert second.step_count == stop
    assert records_of(second, tmp_path / "parts") == expected
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    states = [trainer.optimizer.state_dict()["state"] for trainer in (whole, second)]
    assert all(torch.equal(states[0][k][n], states[1][k][n]) for k in states[0] for n in states[0][k])


@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.9])
def test_damaged_checkpoint_falls_back_to_the_previous_one(tmp_path: Path, part: float) -> None:
    trainer, checkpoints = small_trainer(), Checkpoints(tmp_path)
    records_of(trainer, tmp_path, save_seconds=0)
    content = checkpoints.current.read_bytes()
    checkpoints.current.write_bytes(content[: int(part * len(content))])
    unfinished = tmp_path / ".state.pt.abc"
    unfinished.touch()
    resumed = small_trainer()
    problems = checkpoints.restore(resumed)
    assert resumed.step_count == 8
    assert resumed.records == trainer.records[:-1]
    assert str(checkpoints.current) in problems[0]
    assert not unfinished.exists()
    assert records_of(resumed, tmp_path) == trainer.records


def test_state_of_other_settings_is_not_resumed(tmp_path: Path) -> None:
    records_of(small_trainer(identity="sigma 0.1"), tmp_path)
    other = small_trainer(identity="sigma 0.2")
    problems = Checkpoints(tmp_path).restore(other)
    assert other.step_count == 0
    assert "other settings" in problems[0]


def test_random_streams_go_on_from_the_first_step() -> None:
    seen = []
    trainer = small_trainer(first_step=20000)
    batches = trainer.batches
    trainer.batches = lambda step: seen.append(step) or batches(step)
    trainer.step()
    trainer.step()
    assert seen == [20000, 20001]


def test_state_of_another_network_is_refused(tmp_path: Path) -> None:
    records_of(small_trainer(), tmp_path)
    other = small_trainer()
    other.model = build_network({"name": "lpn_28", "hidden": 5})
    with pytest.raises(UserError, match="state.pt is a checkpoint of another architecture"):
        Checkpoints(tmp_path).restore(other)


def test_nan_stops_with_the_step_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    trainer, checkpoints = small_trainer(), Checkpoints(tmp_path)
    batches = trainer.batches
    trainer.batches = lambda step: batches(step) * (float("nan") if step == 5 else 1)
    with pytest.raises(UserError, match="nan at step 5.*last good checkpoint"):
        records_of(trainer, tmp_path, save_seconds=0)
    resumed = small_trainer()
    checkpoints.restore(resumed)
    assert resumed.step_count == 5
    assert all(value.isfinite().all() for value in resumed.model.state_dict().values())


def test_sources_are_functions_of_the_step() -> None:
    laplace = laplace_batches(50000, seed=1)
    sample = laplace(7)
    assert torch.equal(sample, laplace_batches(50000, seed=1)(7))
    assert not torch.equal(sample, laplace(8))
    assert sample.abs().mean().item() == pytest.approx(1, rel=0.03)
    assert sample.mean().item() == pytest.approx(0, abs=0.03)
    assert sample.square().mean().item() == pytest.approx(2, rel=0.05)

    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    batch = image_batches(images, 5, seed=0)
    epochs = [torch.cat([batch(2 * epoch), batch(2 * epoch + 1)]).mul(255).round().flatten() for epoch in range(2)]
    assert all(torch.equal(epoch.sort().values, torch.arange(10.0)) for epoch in epochs)
    assert not torch.equal(*epochs)
    with pytest.raises(UserError, match="batch_size.*11.*10 images"):
        image_batches(images, 11, seed=0)


def test_losses_of_bfloat16_follow_those_of_float32() -> None:
    phases = [{"loss": "l1", "steps": 30, "lr": 1e-3}]
    trainers = {bf16: small_trainer(phases=phases, bf16=bf16) for bf16 in (False, True)}
    losses = {bf16: [trainer.step().item() for _ in range(30)] for bf16, trainer in trainers.items()}
    np.testing.assert_allclose(losses[True], losses[False], rtol=0.02)


def test_killed_job_resumes_to_the_same_model(tmp_path: Path) -> None:
    subprocess.run(train_command(tmp_path / "whole", SCALAR_TRAINING), check=True, capture_output=True)
    state = tmp_path / "killed/checkpoints/state.pt"
    with subprocess.Popen(train_command(tmp_path / "killed", SCALAR_TRAINING), stderr=subprocess.DEVNULL) as process:
        while not state.exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    assert not (tmp_path / "killed/model.pt").exists()
    subprocess.run(train_command(tmp_path / "killed", SCALAR_TRAINING), check=True, capture_output=True)
    models = [torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "killed")]
    assert models[0]["iteration"] == models[1]["iteration"] == 1000
    for name, value in models[0]["model_state_dict"].items():
        assert torch.equal(value, models[1]["model_state_dict"][name]), name
    logs = [(tmp_path / name / "training.csv").read_bytes() for name in ("whole", "killed")]
    assert logs[0] == logs[1]
    assert len(list(csv.reader(logs[0].decode().splitlines()))) == 21


def test_other_images_train_a_new_model(tmp_path: Path) -> None:
    spec = {"network": {"name": "lpn_28", "hidden": 2}, "data": "mnist", "sigma": 0.1, "seed": 0, "batch_size": 2}
    spec["phases"] = [{"loss": "l1", "steps": 2, "lr": 1e-3}]
    models = []
    for seed in (0, 1):
        for split in ("train", "validation"):
            np.save(tmp_path / f"{split}.npy", np.random.default_rng(seed).integers(0, 256, (4, 1, 28, 28)).astype(np.uint8))
        command = [*train_command(tmp_path, spec), "--data", str(tmp_path)]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        assert ("a training with other settings, data or start" in run.stdout) == (seed == 1)
        models.append((tmp_path / "model.pt").read_bytes())
    assert models[0] != models[1]


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    with try_lock(tmp_path / "checkpoints/lock"):
        run = subprocess.run(train_command(tmp_path, SCALAR_TRAINING), check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert f"error: another process trains in {tmp_path / 'checkpoints'}" in run.stderr


def test_command_line_errors_are_one_paragraph(tmp_path: Path) -> None:
    broken = SCALAR_TRAINING | {"phases": [{"loss": "l2", "steps": 100, "lr": 1e30}]}
    run = subprocess.run(train_command(tmp_path, broken), check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert "error: the loss became" in run.stderr
    assert "Traceback" not in run.stderr


def test_full_disk_is_one_paragraph_and_loses_nothing(tmp_path: Path) -> None:
    limit = "ulimit -f 4; trap '' XFSZ; exec \"$@\""  # no file may exceed 4 blocks: writing fails as on a full disk
    run = subprocess.run(
        ["bash", "-c", limit, "bash", *train_command(tmp_path, SCALAR_TRAINING)], check=False, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert f"error: no space left on the device while writing {tmp_path / 'checkpoints/state.pt'}" in run.stderr
    assert "Traceback" not in run.stderr
    assert [path.name for path in (tmp_path / "checkpoints").glob("*.pt")] == []
    subprocess.run(train_command(tmp_path, SCALAR_TRAINING), check=True, capture_output=True)
    assert (tmp_path / "model.pt").exists()
