"""Trainings of regularisers: pairs, players, resume, processes, faults."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, multiprocessing

from lpn.errors import UserError
from lpn.networks import Regulariser
from lpn.operators import build_operator
from lpn.operators.blur import BlurSettings
from lpn.training.job import TrainSpec, make_trainer, validation_of, write_results
from lpn.training.pairs import pair_batches, read_pairs, write_pairs
from lpn.training.shard import WHOLE, Shard
from lpn.training.state import Checkpoints, Identity
from lpn.training.trainer import DivergenceError, Trainer, train

BLUR = {"name": "blur", "sigma": 1.0}
AR = {"name": "ar", "size": 16, "hidden": 2, "linear": 8}
ACR = {"name": "acr", "filters": 3, "layers": 2, "banks": 1, "bank_filters": 2}
UAR = AR | {"name": "uar", "steps": 2, "filters": 3}
UAR_PHASES = [
    {"loss": "critic", "steps": 2, "lr": 1e-3},
    {"loss": "unrolled", "steps": 2, "lr": 1e-3},
    {"loss": "alternating", "steps": 5, "lr": 1e-3},
]
CPU = torch.device("cpu")


def spec_of(network: dict[str, Any], **changes: Any) -> TrainSpec:
    """Return the settings of a training on whole images of 16x16, or crops of 12x12 for networks of any size."""
    values = {
        "network": network,
        "pairs": {"operator": BLUR, "noise": 0.05},
        "seed": 0,
        "batch_size": 2,
        "betas": [0.5, 0.99],
        "patch": 12 if network["name"] == "acr" else None,
        "phases": UAR_PHASES if network["name"] == "uar" else [{"loss": "critic", "steps": 6, "lr": 1e-3}],
    }
    return TrainSpec.model_validate(values | changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of prepared images, with their pairs in its folder `pairs`."""
    folder = tmp_path_factory.mktemp("data")
    draws = np.random.default_rng(0)
    for split, count in (("train", 6), ("validation", 3)):
        np.save(folder / f"{split}.npy", draws.random((count, 1, 16, 16)).astype(np.float32))
    write_pairs(folder, BlurSettings(sigma=1.0), 0, folder / "pairs")
    return folder


def trainer_of(data: Path, network: dict[str, Any], shard: Shard = WHOLE, **changes: Any) -> Trainer:
    return make_trainer(spec_of(network, **changes), data, None, CPU, shard, data / "pairs")


def batches_of(data: Path, shard: Shard = WHOLE, **changes: Any) -> Callable[[int], Any]:
    spec = spec_of(changes.pop("network", AR), **changes)
    assert spec.pairs
    images = np.load(data / "train.npy")
    return pair_batches(images, read_pairs(data / "pairs", "train", data / "train.npy", spec.pairs), spec, shard=shard)


def test_reconstructions_are_those_of_noisy_measurements(data: Path) -> None:
    """What is put together from the arrays on the disk is the reconstruction of A x + noise, with the noise of the step."""
    operator = build_operator(BlurSettings(sigma=1.0), (1, 16, 16), 0)
    batches = batches_of(data)
    pair, again, next_epoch = batches(1), batches(1), batches(4)
    noise = pair.y - operator(pair.image)
    assert noise.std().item() == pytest.approx(0.05, rel=0.15)
    torch.testing.assert_close(pair.start, operator.initial(pair.y), rtol=1e-5, atol=1e-5)
    assert torch.equal(pair.y, again.y)
    assert torch.equal(pair.mix, again.mix)
    assert 0 <= pair.mix.min() < pair.mix.max() < 1
    assert not torch.equal(noise, next_epoch.y - operator(next_epoch.image))
    images = torch.from_numpy(np.load(data / "train.npy"))
    epoch = torch.cat([batches(step).image for step in range(3)])
    assert torch.equal(epoch.flatten(1).sort(0).values, images.flatten(1).sort(0).values)
    clipped = batches_of(data, pairs={"operator": BLUR, "noise": 2, "clip": True})(0)
    assert clipped.start.min() == 0
    assert clipped.start.max() == 1


def test_crops_of_both_are_at_one_place(data: Path) -> None:
    pairs = {"operator": "identity", "noise": 0}
    folder = data / "identity"
    write_pairs(data, spec_of(ACR, pairs=pairs).pairs.operator, 0, folder)  # pyright: ignore[reportOptionalMemberAccess]
    spec = spec_of(ACR, pairs=pairs, batch_size=4, crops=2)
    assert spec.pairs
    arrays = read_pairs(folder, "train", data / "train.npy", spec.pairs)
    pair = pair_batches(np.load(data / "train.npy"), arrays, spec)(3)
    assert pair.image.shape == (4, 1, 12, 12)
    assert torch.equal(pair.image, pair.start)
    assert pair.y is None
    assert not torch.equal(pair.image[0], pair.image[1])


@pytest.mark.parametrize("network", [AR, ACR], ids=["whole", "crops"])
def test_shards_make_up_the_batch(data: Path, network: dict[str, Any]) -> None:
    options = {"network": network, "batch_size": 4, "crops": 2 if network is ACR else 1}
    whole, *parts = [batches_of(data, shard, **options)(2) for shard in (WHOLE, Shard(0, 2), Shard(1, 2))]
    for name in ("image", "start", "mix"):
        torch.testing.assert_close(
            torch.cat([getattr(part, name) for part in parts]), getattr(whole, name), rtol=0, atol=1e-6
        )


def changed(trainer: Trainer, steps: int) -> list[set[str]]:
    """Return the first parts of the names of the weights that each step changes."""
    result = []
    for _ in range(steps):
        before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
        trainer.step()
        moved = [name for name, weight in trainer.model.named_parameters() if not torch.equal(before[name], weight)]
        result.append({name.partition(".")[0] for name in moved})
    return result


def test_each_step_moves_one_player(data: Path) -> None:
    """Critic; generator; then two steps of the generator and one of the critic for each batch."""
    trainer, numbers = trainer_of(data, UAR), []
    batches = trainer.batches
    trainer.batches = lambda number: (numbers.append(number), batches(number))[1]
    r, g = {"regulariser"}, {"generator"}
    assert changed(trainer, 9) == [r, r, g, g, g, g, r, g, g]
    assert numbers == [0, 1, 2, 3, 4, 4, 4, 5, 5]


def test_acr_decays_two_terms_and_keeps_the_icnn_convex(data: Path) -> None:
    plain, decayed = (trainer_of(data, ACR, weight_decay=decay) for decay in (0.0, 1.0))
    weights = {name: weight.detach().clone() for name, weight in plain.model.named_parameters()}
    plain.step()
    decayed.step()
    for (name, a), b in zip(plain.model.named_parameters(), decayed.model.parameters(), strict=True):
        if a.grad is None:
            continue
        change = decayed.optimizer.state[b]["exp_avg"] - plain.optimizer.state[a]["exp_avg"]
        expected = torch.zeros_like(change) if name.startswith("icnn") else 0.5 * weights[name]
        torch.testing.assert_close(change, expected, rtol=1e-4, atol=1e-6)
    for _ in range(5):
        decayed.step()
        assert all(weight.min() >= 0 for weight in decayed.model.constrained_weights())


@pytest.mark.parametrize("network", [AR, ACR, UAR], ids=lambda network: network["name"])
def test_a_resumed_training_ends_in_the_same_bits(data: Path, tmp_path: Path, network: dict[str, Any]) -> None:
    """It stops in the middle of a batch of several steps. Without a thread that makes batches ahead nothing differs."""
    whole, plain, first, second = (trainer_of(data, network) for _ in range(4))
    train(whole, lambda trainer: None, log_every=1)
    losses = [plain.step().item() for _ in range(plain.total_steps)]
    assert [record["loss"] for record in whole.records] == losses
    checkpoints = Checkpoints(tmp_path, Identity(spec_of(network)))
    for _ in range(5):
        first.losses.append(first.step())
    checkpoints.save(first)
    assert checkpoints.restore(second) == []
    train(second, checkpoints.save)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
        assert torch.equal(value, plain.model.state_dict()[name]), name


def weights_and_losses(data: Path, network: dict[str, Any], shard: Shard) -> tuple[dict[str, Tensor], list[float]]:
    trainer = trainer_of(data, network, shard)
    losses = [trainer.step().item() for _ in range(trainer.total_steps)]
    return trainer.model.state_dict(), losses


def train_shard(rank: int, data: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    torch.save([weights_and_losses(data, network, Shard(rank, 2)) for network in (AR, ACR, UAR)], folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_take_the_steps_of_one(data: Path, tmp_path: Path) -> None:
    multiprocessing.spawn(train_shard, (data, tmp_path), nprocs=2)
    shared = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for i, network in enumerate((AR, ACR, UAR)):
        weights, losses = weights_and_losses(data, network, WHOLE)
        for shared_weights, shared_losses in (shared[0][i], shared[1][i]):
            np.testing.assert_allclose(shared_losses, losses, rtol=1e-4, atol=1e-5)
            for name, value in weights.items():
                torch.testing.assert_close(shared_weights[name], value, rtol=1e-3, atol=1e-4)


def test_one_image_cannot_be_shared(data: Path) -> None:
    with pytest.raises(ValueError, match="2 processes can't share the 1 images of a batch"):
        trainer_of(data, AR, Shard(0, 2), batch_size=1)


def exploding(trainer: Trainer) -> None:
    forward = Regulariser.penalised

    def penalised(x: Tensor) -> Tensor:
        return forward(trainer.model, x) * (float("nan") if trainer.step_count == 3 else 1)  # type: ignore[arg-type]

    trainer.model.penalised = penalised  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("network", "lr", "spoil", "message"),
    [
        (AR, 1e30, None, "the loss became .* at step 1"),
        (UAR, 1e6, None, "the loss became .* at step 1"),
        (AR, 1e-3, exploding, "the loss became nan at step 3"),
    ],
    ids=["not finite", "large", "penalty"],
)
def test_a_critic_that_explodes_keeps_its_last_good_state(
    data: Path, tmp_path: Path, network: dict[str, Any], lr: float, spoil: Callable[[Trainer], None] | None, message: str
) -> None:
    phases = [{"loss": "critic", "steps": 8, "lr": lr}]
    trainer, other = (trainer_of(data, network, phases=phases) for _ in range(2))
    if spoil:
        spoil(trainer)
    checkpoints = Checkpoints(tmp_path, Identity(spec_of(network, phases=phases)))
    with pytest.raises(DivergenceError, match=message):
        train(trainer, checkpoints.save, save_seconds=0)
    checkpoints.restore(other)
    assert other.step_count == (3 if spoil else 1)
    assert all(value.isfinite().all() for value in other.model.state_dict().values())


def test_scores_on_validation_pairs(data: Path, tmp_path: Path) -> None:
    """A critic that learned tells reconstructions from images; that of UAR comes with a generator, whose PSNR is logged."""
    phases = [{"loss": "critic", "steps": 60, "lr": 3e-3}]
    trainer = trainer_of(data, UAR, phases=phases)
    validate = validation_of(data, 2, spec_of(UAR), CPU, data / "pairs")
    assert validate
    before = validate(trainer.model)
    assert [*before] == ["validation_psnr", "validation_distance", "validation_gradient"]
    train(trainer, lambda trainer: None, validate=validate, validate_every=60)
    assert trainer.model.training
    record = trainer.records[-1]
    assert record["validation_distance"] > max(before["validation_distance"], 0)
    assert 0 < record["validation_gradient"] < 2
    write_results(trainer, tmp_path / "model.pt", tmp_path / "training.csv")
    header = (tmp_path / "training.csv").read_text().splitlines()[0]
    assert header == "step,loss_name,gamma,lr,loss,validation_psnr,validation_distance,validation_gradient"


def test_uar_starts_from_an_ar(data: Path, tmp_path: Path) -> None:
    first = trainer_of(data, AR)
    train(first, lambda trainer: None)
    write_results(first, tmp_path / "model.pt", tmp_path / "training.csv")
    uar = make_trainer(spec_of(UAR), data, tmp_path / "model.pt", CPU, WHOLE, data / "pairs")
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, uar.model.state_dict()[f"regulariser.{name}"]), name
    assert uar.first_step == 6
    assert spec_of(UAR).network.starts_from(spec_of(AR).network)
    assert not spec_of(UAR).network.starts_from(spec_of(AR | {"linear": 4}).network)
    with pytest.raises(UserError, match=r"model\.pt"):
        make_trainer(spec_of(ACR), data, tmp_path / "model.pt", CPU, WHOLE, data / "pairs")


def copied(data: Path, folder: Path) -> Path:
    for path in [*data.glob("*.npy"), *(data / "pairs").iterdir()]:
        target = folder / path.relative_to(data)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    return folder


def test_pairs_that_do_not_belong_to_the_training_are_refused(data: Path, tmp_path: Path) -> None:
    folder = copied(data, tmp_path)
    with pytest.raises(UserError, match="of .*'sigma': 1.0.*, but the training is of .*'sigma': 2.0"):
        trainer_of(folder, AR, pairs={"operator": BLUR | {"sigma": 2.0}, "noise": 0.05})
    start = np.load(folder / "pairs/train_start.npy")
    for wrong in (start[:5], start[..., :8]):
        np.save(folder / "pairs/train_start.npy", wrong)
        with pytest.raises(UserError, match=r"reconstructions of shape .*, but the images .*train\.npy have the shape"):
            trainer_of(folder, AR)
    np.save(folder / "pairs/train_start.npy", start)
    np.save(folder / "train.npy", 1 - np.load(folder / "train.npy"))
    with pytest.raises(UserError, match=r"pairs are of other images|of other images than .*train\.npy"):
        trainer_of(folder, AR)
    (folder / "pairs/pairs.json").unlink()
    with pytest.raises(UserError, match=r"can't be read.*make_pairs"):
        trainer_of(folder, AR)


def test_pairs_need_linear_reconstructions(data: Path, tmp_path: Path) -> None:
    operator = spec_of(AR, pairs={"operator": {"name": "compressed_sensing", "measurements": 64}, "noise": 0}).pairs
    assert operator
    with pytest.raises(ValueError, match="not linear"):
        write_pairs(data, operator.operator, 0, tmp_path)


def test_what_is_written_of_pairs(data: Path) -> None:
    made_of = json.loads((data / "pairs/pairs.json").read_text())
    assert made_of["operator"]["sigma"] == 1.0
    assert made_of.keys() == {"operator", "seed", "train", "validation"}
    assert np.load(data / "pairs/validation_start.npy").shape == (3, 1, 16, 16)


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        (AR, {"pairs": None}, "'ar' is a regulariser: give pairs"),
        ({"name": "dncnn", "channels": 1}, {"patch": 8}, "'dncnn' is none: remove pairs"),
        ({"name": "dncnn", "channels": 1}, {"patch": 8, "pairs": None}, "lacks 'sigma'"),
        (AR, {"sigma": 0.1}, "'sigma' is for denoising"),
        (AR, {"phases": [{"loss": "l1", "steps": 1, "lr": 1}]}, "'l1' can't train the network 'ar'"),
        (AR, {"phases": UAR_PHASES}, "'ar' has no generator"),
        (AR, {"augment": "flips"}, "augment and clip_noisy are for denoising"),
        (AR, {"precision": "bf16"}, "regularisers are trained in fp32"),
        (AR, {"betas": [0.5]}, "betas"),
        (AR, {"betas": [0.5, 1.0]}, "betas"),
        (AR, {"compile": True}, "can't compile the network 'ar'"),
    ],
)
def test_settings_that_are_refused(network: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec_of(network, **changes)


def test_sizes_that_are_refused(data: Path) -> None:
    with pytest.raises(ValueError, match="whole images.*16x16, not 8"):
        trainer_of(data, UAR | {"size": 8})
    assert trainer_of(data, AR | {"size": 8}).step().isfinite()  # crops
    with pytest.raises(ValueError, match="patches of 32x32 don't fit"):
        trainer_of(data, AR | {"size": 32})
