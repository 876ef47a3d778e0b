import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch

from lpn.augmentations import Augmentation
from lpn.augmentations.colours import Colours
from lpn.augmentations.crops import Crops
from lpn.augmentations.ct import CT
from lpn.augmentations.flips import Flips
from lpn.augmentations.ranges import Ranges
from lpn.training.batches import image_batches, noisy_batches, prefetch
from lpn.training.shard import Shard


@pytest.mark.parametrize(
    ("augment", "crops", "channels"), [(None, 1, 1), (None, 4, 1), (Flips(), 2, 1), (Colours(), 2, 3), (CT(), 2, 1)]
)
def test_batches_are_functions_of_the_step(augment: Augmentation | None, crops: int, channels: int) -> None:
    images = np.random.default_rng(0).random((10, channels, 48, 40)).astype(np.float32)
    batches = [image_batches(images, 4, 0, patch=16, crops=crops, augment=augment) for _ in range(2)]
    for step in (0, 7, 3):
        first, second = (batch(step) for batch in batches)
        assert first.shape == (4, channels, 16, 16)
        assert torch.equal(first, second)
        assert first.min() >= 0
        assert first.max() <= 1
    assert not torch.equal(batches[0](3), batches[0](4))


def test_crops_are_parts_of_the_images() -> None:
    images = np.arange(2 * 32 * 32, dtype=np.uint8).reshape(2, 1, 32, 32)
    patches = (image_batches(images, 2, 0, patch=8)(0) * 255).round()
    assert torch.equal(patches[:, 0, 0, 1:] - patches[:, 0, 0, :-1], torch.ones(2, 7))


def test_plain_crops_are_the_default() -> None:
    images = np.random.default_rng(0).random((4, 1, 20, 20)).astype(np.float32)
    assert torch.equal(image_batches(images, 4, 0, patch=8)(2), image_batches(images, 4, 0, patch=8, augment=Crops())(2))
    assert torch.equal(image_batches(images, 4, 0)(2), image_batches(images, 4, 0, augment=Crops())(2))  # whole images


def test_every_image_is_shown_once_an_epoch() -> None:
    images = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)
    batch = image_batches(images, 4, 0)
    epochs = [torch.cat([batch(3 * epoch + i) for i in range(3)]).flatten() * 255 for epoch in range(2)]
    assert not torch.equal(*epochs)
    for epoch in epochs:
        assert epoch.round().sort().values.tolist() == list(range(12))


@pytest.mark.parametrize(("augment", "crops"), [(None, 1), (Flips(), 2), (Ranges(), 2), (CT(), 2)])
def test_shards_make_up_the_batch(augment: Augmentation | None, crops: int) -> None:
    images = np.random.default_rng(0).random((10, 1, 32, 30)).astype(np.float32)
    parts = [Shard(rank, 2) for rank in range(2)]
    halves = [image_batches(images, 8, 0, patch=16, crops=crops, augment=augment, shard=part)(3) for part in parts]
    assert torch.equal(torch.cat(halves), image_batches(images, 8, 0, patch=16, crops=crops, augment=augment)(3))


def test_misfits() -> None:
    images = np.zeros((3, 1, 16, 16), np.uint8)
    with pytest.raises(ValueError, match="does not divide"):
        image_batches(images, 4, 0, crops=3)
    with pytest.raises(ValueError, match="only 3 images"):
        image_batches(images, 4, 0)
    with pytest.raises(ValueError, match="don't fit into images of 16x16"):
        image_batches(images, 2, 0, patch=32)(0)
    with pytest.raises(ValueError, match="crops is 2, but there is only one crop of a whole image"):
        image_batches(images, 2, 0, crops=2)
    with pytest.raises(ValueError, match="3 processes can't share the 4 images"):
        image_batches(np.zeros((8, 1, 16, 16), np.uint8), 8, 0, patch=8, crops=2, shard=Shard(0, 3))


def test_noise_is_that_of_the_step() -> None:
    batches = noisy_batches(lambda step: torch.zeros(50, 1, 20, 20), 0.5, 3)
    clean, noisy = batches(7)
    assert clean.abs().max() == 0
    assert noisy.std().item() == pytest.approx(0.5, rel=0.01)
    assert torch.equal(noisy, batches(7)[1])
    assert not torch.equal(noisy, batches(8)[1])


def test_a_thread_makes_one_batch_ahead() -> None:
    """While a step runs, the next batch is made, in another thread, and not the one after it."""
    made: dict[int, threading.Thread] = {}
    arrived = threading.Event()

    def make(step: int) -> int:
        made[step] = threading.current_thread()
        if step == 4:
            arrived.set()
        return 10 * step

    batches = prefetch(make, range(3, 7))
    assert next(batches) == 30
    assert arrived.wait(10)
    assert [*made] == [3, 4]
    assert [*batches] == [40, 50, 60]
    assert [*made] == [3, 4, 5, 6]
    assert threading.main_thread() not in made.values()
    assert not any(thread.is_alive() for thread in made.values())


def test_a_batch_of_several_steps_is_made_once() -> None:
    made: list[int] = []
    assert [*prefetch(lambda step: made.append(step) or step, [0, 0, 0, 1, 1, 2])] == [0, 0, 0, 1, 1, 2]
    assert made == [0, 1, 2]


def test_a_fault_in_the_thread_arises_at_its_step() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise ValueError("patches of 8x8 don't fit")
        return step

    batches = prefetch(make, range(4))
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(ValueError, match="don't fit"):
        next(batches)


def threads_of_batches() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


@pytest.mark.parametrize("end", [lambda batches: batches.close(), list], ids=["closed", "finished"])
def test_the_thread_ends(end: Callable[..., object]) -> None:
    batches = prefetch(lambda step: step, range(3))
    next(batches)
    assert threads_of_batches()
    end(batches)
    assert not threads_of_batches()
