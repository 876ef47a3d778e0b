"""Training steps as CUDA graphs: one launch a step instead of hundreds."""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # steps before the capture, in which PyTorch's libraries set themselves up ("CUDA Graphs" of its notes)


class CapturedStep:
    """A training step on a GPU that is captured once, and then replayed with other data.

    A step of a small network has hundreds of kernels of some microseconds, and Python needs longer to launch them than the
    GPU to compute them. The replayed kernels are the same, and so are their results.

    Args:
        take: (clean, noisy) on the GPU -> the loss; it also moves the weights, in place. It may neither read values back to
            the CPU nor depend on anything that Python changes from step to step.
        device: the GPU.
    """

    def __init__(self, take: Callable[[Tensor, Tensor], Tensor], device: torch.device) -> None:
        self.take, self.calls = take, 0
        self.device, self.side = device, torch.cuda.Stream(device)
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, clean: Tensor, noisy: Tensor) -> Tensor:
        """Take a step with samples (N, ...), of the same shape in all calls, and return its loss."""
        self.calls += 1
        with torch.cuda.device(self.device):
            if self.calls <= WARM_UP:
                return self._take_aside(clean, noisy)
            if self.graph is None:
                self.graph = self._capture(clean, noisy)
            self.clean.copy_(clean, non_blocking=True)
            self.noisy.copy_(noisy, non_blocking=True)
            self.graph.replay()
            return self.loss.clone()

    def _take_aside(self, clean: Tensor, noisy: Tensor) -> Tensor:
        """Take a step in a stream of its own, as a step before a capture must be."""
        current = torch.cuda.current_stream()
        self.side.wait_stream(current)
        with torch.cuda.stream(self.side):
            loss = self.take(clean, noisy)
        current.wait_stream(self.side)
        return loss

    def _capture(self, clean: Tensor, noisy: Tensor) -> torch.cuda.CUDAGraph:
        """Capture a step, which is not taken."""
        self.clean, self.noisy = (part.to(self.device, copy=True) for part in (clean, noisy))
        graph = torch.cuda.CUDAGraph()
        # another thread, which makes the next batch, may use the GPU meanwhile
        with torch.cuda.graph(graph, stream=self.side, capture_error_mode="thread_local"):
            self.loss = self.take(self.clean, self.noisy)
        return graph


def pinned(batches: Callable[[int], tuple[Tensor, Tensor]]) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return the same batches in memory from which a GPU copies while it computes."""

    def batch(number: int) -> tuple[Tensor, Tensor]:
        clean, noisy = batches(number)
        return clean.pin_memory(), noisy.pin_memory()

    return batch
