"""Batches of training images, each a pure function of the step, so that a thread may make them ahead of time."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from lpn.augmentations import Augmentation
from lpn.augmentations.crops import Crops
from lpn.images import to_tensor
from lpn.seeds import numpy_generator, torch_generator
from lpn.training.shard import WHOLE, Shard

T = TypeVar("T")


def random_order(count: int, batch_size: int, crops: int, seed: int) -> Callable[[int], np.ndarray]:
    """Return step -> the numbers of the images of its batch, of `count` images, in a new random order every epoch.

    Raises ValueError if there are fewer images than a batch needs.
    """
    per_batch = batch_size // crops
    if count < per_batch:
        raise ValueError(f"batch_size is {batch_size}, which needs {per_batch} images; there are only {count} images")
    per_epoch, order = count // per_batch, dict[int, np.ndarray]()

    def numbers(step: int) -> np.ndarray:
        epoch, position = divmod(step, per_epoch)
        if epoch not in order:
            order.clear()
            order[epoch] = torch.randperm(count, generator=torch_generator(seed, "order", epoch)).numpy()
        return order[epoch][position * per_batch : (position + 1) * per_batch]

    return numbers


def image_batches(
    images: np.ndarray,
    batch_size: int,
    seed: int,
    *,
    patch: int | None = None,
    crops: int = 1,
    augment: Augmentation | None = None,
    shard: Shard = WHOLE,
) -> Callable[[int], Tensor]:
    """Return step -> (batch_size, C, patch, patch) float32 images on the CPU, in a new random order every epoch.

    They are in [0, 1], unless the augmentation leaves that range. Crops and augmentation of an image depend only on the step
    and its place in the batch. The last, incomplete batch of an epoch is left out.

    Args:
        images: uint8 or float32 (n, C, H, W); only the images of a batch are read.
        batch_size: patches of a batch, of which `shard` is returned.
        seed: of order, crops and augmentation.
        patch: side of random crops; None means whole images.
        crops: random crops of each image of a batch; more than 1 saves reading and augmenting.
        augment: makes patches of an image; None means plain random crops.

    Raises ValueError if there are fewer images than a batch needs, or `crops` does not divide the batch; the function that
    is returned raises it if patches are larger than the images.
    """
    if batch_size % crops:
        raise ValueError(f"crops is {crops}, which does not divide batch_size, {batch_size}")
    if crops > 1 and patch is None:
        raise ValueError(f"crops is {crops}, but there is only one crop of a whole image; use 1, or give a patch")
    per_batch = batch_size // crops
    part, transform = shard.of(per_batch), augment or Crops()
    numbers = random_order(len(images), batch_size, crops, seed)

    def batch(step: int) -> Tensor:
        chosen = to_tensor(images[numbers(step)[part]])
        if patch is None and augment is None:
            return chosen
        draws = (numpy_generator(seed, "crops", step, place) for place in range(per_batch)[part])
        pairs = zip(chosen, draws, strict=True)
        patches = torch.cat([transform(image, patch or image.shape[-1], crops, draw) for image, draw in pairs])
        side, count = patch or images.shape[-1], crops * len(chosen)
        if patches.shape != (count, images.shape[1], side, side):
            raise ValueError(
                f"the augmentation {transform.name} makes {tuple(patches.shape)}, not {count} patches of {side}x{side}"
            )
        return patches

    return batch


def noisy_batches(
    clean: Callable[[int], Tensor], sigma: float, seed: int, *, clip: bool = False, shard: Shard = WHOLE
) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return step -> (clean, noisy): clean samples (N, ...), and these with noise  sigma N(0, I).

    Args:
        clean: step -> the samples of `shard`.
        sigma: standard deviation of the noise.
        seed: of the noise.
        clip: whether noisy samples are clipped to [0, 1].
    """

    def batch(step: int) -> tuple[Tensor, Tensor]:
        samples = clean(step)
        size, generator = len(samples) * shard.count, torch_generator(seed, "noise", step)
        noise = torch.randn(size, *samples.shape[1:], generator=generator, dtype=samples.dtype)
        noisy = torch.add(samples, noise[shard.of(size)], alpha=sigma)
        return samples, noisy.clamp_(0, 1) if clip else noisy

    return batch


def prefetch(make: Callable[[int], T], steps: Iterable[int]) -> Generator[T, None, None]:
    """Yield `make(step)` of each step; a thread makes the next one while the caller works with the last one.

    A step that repeats the one before has the same batch. What `make` raises is raised where its batch is asked for. Close
    the generator to end the thread, which finishes what it makes.
    """
    with ThreadPoolExecutor(1, "batches") as thread:
        last: tuple[int, Future[T]] | None = None
        for step in steps:
            ready, last = last, last if last and last[0] == step else (step, thread.submit(make, step))
            if ready:
                yield ready[1].result()
        if last:
            yield last[1].result()
