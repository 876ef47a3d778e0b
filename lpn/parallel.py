"""Training on several processes, as torchrun starts them: which process computes which part of a batch.

A sample keeps its place in the whole batch, and with it its index, noise, crops and augmentation, whatever the number of
processes. Losses are means over samples and gradients are averaged, so N processes take the same step as one.
"""

import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from lpn.errors import UserError


@dataclass(frozen=True)
class Share:
    """The equal part of every batch that process `rank` of `count` computes."""

    rank: int = 0
    count: int = 1

    def of(self, size: int) -> slice:
        """Return this process's part of `size` samples or images. Raises UserError where they can't be shared equally."""
        if size % self.count:
            raise UserError(
                f"{self.count} processes can't share the {size} images of a batch equally. Take a 'batch_size' (divided by "
                "'crops') that is a multiple of the number of processes, or another number of GPUs for the rule train."
            )
        part = size // self.count
        return slice(self.rank * part, (self.rank + 1) * part)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes, which all must ask for it."""
        if self.count == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total / self.count

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            distributed.barrier()


WHOLE = Share()


def join_processes(device: torch.device) -> tuple[Share, torch.device]:
    """Join the processes that torchrun started, if it did; return this one's share and its device."""
    if "LOCAL_RANK" not in os.environ:
        return WHOLE, device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Share(distributed.get_rank(), distributed.get_world_size()), device
