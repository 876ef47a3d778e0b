"""Training on several processes, which torchrun starts: which process computes which part of a batch.

A sample keeps its place in the whole batch, and with it its index, noise, crops and augmentation, for any number of
processes. Losses are means over samples and gradients are averaged, so N processes take the same step as one.
"""

import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Shard:
    """The equal part of every batch that process `rank` of `count` computes."""

    rank: int = 0
    count: int = 1

    def of(self, size: int) -> slice:
        """Return this process's part of `size` samples or images. Raises ValueError if there are no equal parts."""
        if size % self.count:
            raise ValueError(
                f"{self.count} processes can't share the {size} images of a batch equally: batch_size / crops must be a "
                "multiple of the number of processes"
            )
        part = size // self.count
        return slice(self.rank * part, (self.rank + 1) * part)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes; all of them must call this."""
        if self.count == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total / self.count

    def average(self, tensors: list[Tensor]) -> None:
        """Replace tensors, such as gradients, by their means over all processes; all of them must call this."""
        if self.count > 1:
            means = self.mean(torch.cat([tensor.flatten() for tensor in tensors]))
            for tensor, mean in zip(tensors, means.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(mean.view(tensor.shape))

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            distributed.barrier()


WHOLE = Shard()


def join_processes(device: torch.device) -> tuple[Shard, torch.device]:
    """Join the processes that torchrun started, if it did; return this one's shard and its device."""
    if "LOCAL_RANK" not in os.environ:
        return WHOLE, device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Shard(distributed.get_rank(), distributed.get_world_size()), device
