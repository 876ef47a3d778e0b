"""Samples of the Laplace distribution, drawn."""

from collections.abc import Callable

import torch
from torch import Tensor

from lpn.data._base import DataSet
from lpn.seeds import torch_generator
from lpn.training.shard import WHOLE, Shard


class Laplace(DataSet):
    """Samples (1,) of the Laplace distribution of mean 0 and scale 1, of density exp(-|x|) / 2."""

    channels = None
    prepared = False
    same_everywhere = True
    sample_shape = (1,)

    def batches(self, batch_size: int, seed: int, shard: Shard | None = None) -> Callable[[int], Tensor]:
        """Return step -> fresh float32 samples: a Laplace variable is the difference of two independent exponential ones."""
        part = (shard or WHOLE).of(batch_size)

        def batch(step: int) -> Tensor:
            pair = torch.empty(2, batch_size, 1).exponential_(generator=torch_generator(seed, "laplace", step))
            return (pair[0] - pair[1])[part]

        return batch
