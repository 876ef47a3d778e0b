"""An LPN on images that are larger than its input: the average over overlapping patches."""

from collections.abc import Iterator
from types import EllipsisType
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from lpn.networks import LPN, Network

Average = Literal["uniform", "by_count"]


def check_stride(average: Average, stride: int, size: int) -> None:
    """Raise ValueError unless patches of this size can be this far apart: with "uniform" the stride divides the size."""
    if not 0 < stride <= size or (average == "uniform" and size % stride):
        bound = "divide" if average == "uniform" else "be positive and at most"
        raise ValueError(f"stride is {stride}, but with the average {average} it must {bound} the patch size {size}")


class PatchLPN(Network):
    """The average of an LPN over overlapping patches of an image (N, C, H, W) of any size.

    With the average "uniform" the image is padded with zeros such that every pixel is in the same number c of patches. Then

        psi_image(x) = 1/c sum_p psi(P_p x)    and    f(x) = grad psi_image(x) = 1/c sum_p P_p^T f(P_p x),

    P_p cutting out patch p: psi_image is convex, so f is the proximal operator of a function of the whole image. With the
    average "by_count" only patches inside the image are used and each pixel is divided by its own number of patches, as
    published (LPN paper, section 5); that is not exactly a prox, and there is no potential.

    Args:
        model: the LPN of one patch.
        average: "uniform" or "by_count"; raises ValueError for another.
        stride: distance between patches, by default half a patch; raises ValueError as `check_stride` does.
        batch: patches that are computed at once; by default as many as a CPU's cache holds, or 256 on a GPU.
    """

    def __init__(
        self, model: LPN, average: Average = "uniform", stride: int | None = None, batch: int | None = None
    ) -> None:
        channels, size, _ = model.input_shape
        assert size is not None
        stride = size // 2 if stride is None else stride
        super().__init__(model.config | {"average": average, "stride": stride}, (channels, None, None))
        self.model, self.average, self.size, self.stride, self.batch = model, average, size, stride, batch
        self.alpha = model.alpha  # the average leaves the quadratic term as it is
        if average not in get_args(Average):
            raise ValueError(f"average must be one of {', '.join(get_args(Average))}, not {average!r}")
        check_stride(average, stride, size)

    def constrained_weights(self) -> list[Tensor]:
        """Return the weights of the LPN that must be >= 0."""
        return self.model.constrained_weights()

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x), for (N, C, H, W). Raises ValueError if the channels don't fit or a side is too small."""
        return self.prox_and_potential(x)[0]

    def prox_and_potential(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f(x) and psi_image(x), (N,), which means nothing with the average "by_count"."""
        padded, inside = self._padded(x)
        corners = self._corners(padded)
        parts = [self.model.prox_and_potential(part) for part in self._patches(padded, corners)]
        proxes, potentials = (torch.cat(values) for values in zip(*parts, strict=True))
        total, count = torch.zeros_like(padded), torch.zeros_like(padded[:1, :1])
        for (top, left), patch in zip(corners, proxes.split(len(x)), strict=True):
            total[..., top : top + self.size, left : left + self.size] += patch
            count[..., top : top + self.size, left : left + self.size] += 1
        return (total / count.clamp_min(1))[inside], self._mean(potentials, len(x))

    def potential(self, x: Tensor) -> Tensor:
        """Return psi_image(x) as (N,). Raises ValueError with the average "by_count", which has no potential."""
        if self.average != "uniform":
            raise ValueError("the average of patches by count is no gradient: it has no potential")
        padded, _ = self._padded(x)
        values = [self.model.potential(part) for part in self._patches(padded, self._corners(padded))]
        return self._mean(torch.cat(values), len(x))

    def _mean(self, potentials: Tensor, images: int) -> Tensor:
        """Return 1/c times the sum over patches, (images,)."""
        return potentials.view(-1, images).sum(0) / (self.size // self.stride) ** 2

    def _padded(self, x: Tensor) -> tuple[Tensor, tuple[slice | EllipsisType, ...]]:
        """Return the image that patches are cut from, and the place of x in it."""
        if x.dim() != 4 or x.shape[1] != self.input_shape[0]:
            raise ValueError(f"the network takes images of {self.input_shape[0]} channels, not {tuple(x.shape)}")
        if self.average == "by_count":
            if min(x.shape[-2:]) < self.size:
                raise ValueError(f"images of {tuple(x.shape[-2:])} are smaller than the patches of {self.size}x{self.size}")
            return x, (...,)
        border = self.size - self.stride
        height, width = x.shape[-2:]
        padded = F.pad(x, (border, border + -width % self.stride, border, border + -height % self.stride))
        return padded, (..., slice(border, border + height), slice(border, border + width))

    def _corners(self, x: Tensor) -> list[tuple[int, int]]:
        """Return the corners of all patches; the last of a row or column ends at the border of the image."""
        tops, lefts = ([*range(0, n - self.size, self.stride), n - self.size] for n in x.shape[-2:])
        return [(top, left) for top in tops for left in lefts]

    def _patches(self, x: Tensor, corners: list[tuple[int, int]]) -> Iterator[Tensor]:
        """Yield batches of patches, all images of a corner before the next corner."""
        per_batch = max(1, (self.batch or (8 if x.device.type == "cpu" else 256)) // len(x))
        for i in range(0, len(corners), per_batch):
            part = corners[i : i + per_batch]
            yield torch.cat([x[..., top : top + self.size, left : left + self.size] for top, left in part])


def whole(model: LPN, shape: tuple[int, ...], average: Average = "uniform", stride: int | None = None) -> LPN | PatchLPN:
    """Return an LPN of samples of this shape: the model itself, or its average over patches, with its ValueErrors."""
    return model if model.input_shape == shape else PatchLPN(model, average, stride)
