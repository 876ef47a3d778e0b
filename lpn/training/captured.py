"""Training steps as CUDA graphs: one launch a step instead of hundreds."""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # steps before the recording, in which PyTorch's libraries set themselves up ("CUDA Graphs" of its notes)


class CapturedStep:
    """A training step on a GPU that is recorded once, and then replayed with other data.

    A step of a small network has hundreds of kernels of some microseconds, and Python needs longer to launch them than the
    GPU to compute them. The replayed kernels are the same, and so are their results.

    Args:
        take: (clean, noisy) on the GPU -> the loss; it also moves the weights. If it reads values back to the CPU, it can
            not be recorded.
    """

    def __init__(self, take: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.take, self.calls, self.warm_up = take, 0, WARM_UP
        self.side = torch.cuda.Stream()
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, clean: Tensor, noisy: Tensor) -> Tensor:
        """Take a step with samples (N, ...), of the same shape in all calls, and return its loss."""
        self.calls += 1
        if self.graph is None and self.calls > self.warm_up:
            self._record(clean, noisy)
        if self.graph is None:
            return self._take_aside(clean, noisy)
        self.clean.copy_(clean, non_blocking=True)
        self.noisy.copy_(noisy, non_blocking=True)
        self.graph.replay()
        return self.loss.clone()

    def _take_aside(self, clean: Tensor, noisy: Tensor) -> Tensor:
        """Take a step in a stream of its own, as a step before a recording must be."""
        current = torch.cuda.current_stream()
        self.side.wait_stream(current)
        with torch.cuda.stream(self.side):
            loss = self.take(clean, noisy)
        current.wait_stream(self.side)
        return loss

    def _record(self, clean: Tensor, noisy: Tensor) -> None:
        """Record a step, which is not taken. If that is impossible, the next steps are taken as those before."""
        self.clean, self.noisy = (part.to(self.side.device, copy=True) for part in (clean, noisy))
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # another thread makes the next batch
                self.loss = self.take(self.clean, self.noisy)
        except RuntimeError as error:
            print(f"The steps are not recorded as a CUDA graph, which would be faster: {error}", flush=True)
            self.warm_up = sys.maxsize
        else:
            self.graph = graph


def pinned(batches: Callable[[int], tuple[Tensor, Tensor]]) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return the same batches in memory from which a GPU copies while it computes."""

    def batch(number: int) -> tuple[Tensor, Tensor]:
        clean, noisy = batches(number)
        return clean.pin_memory(), noisy.pin_memory()

    return batch
