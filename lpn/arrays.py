"""The arrays that `lpn.api` takes, as batches of float tensors, and the way back."""

from typing import Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from lpn.networks import LPN

Array = TypeVar("Array", np.ndarray, Tensor)
LARGEST = 100  # inverses f^{-1}(x) of images, which may be denoised again, reach 50; most images in 0..255 lie above


def as_tensor(array: np.ndarray | Tensor) -> Tensor:
    """Return an array as a float tensor without gradients; uint8 becomes float32 in [0, 1].

    Raises ValueError unless it is uint8, float32 or float64, finite and not empty.
    """
    if not isinstance(array, np.ndarray | Tensor):
        raise ValueError(f"a NumPy array or a PyTorch tensor is needed, not {type(array).__name__}.")
    if isinstance(array, np.ma.MaskedArray):
        raise ValueError("the array has a mask: fill it, by array.filled(value).")
    if isinstance(array, Tensor) and array.layout != torch.strided:
        raise ValueError(f"the array is {array.layout}: convert it, by array.to_dense().")
    x = _native(array) if isinstance(array, np.ndarray) else array
    if x is None or x.dtype not in (torch.uint8, torch.float32, torch.float64):
        raise ValueError(f"the array is {array.dtype}, but uint8, float32 or float64 is needed: convert it.")
    if not x.numel():
        raise ValueError(f"the array is empty: its shape is {tuple(x.shape)}.")
    x = x.float() / 255 if x.dtype == torch.uint8 else x.detach()
    if not x.isfinite().all():
        raise ValueError("the array holds NaN or infinite values.")
    return x


def _native(array: np.ndarray) -> Tensor | None:
    """Return a copy of an array as a tensor, whatever its order of bytes; None for dtypes that are not taken."""
    dtype = array.dtype.newbyteorder("=")
    return torch.from_numpy(np.array(array, dtype)) if dtype in (np.uint8, np.float32, np.float64) else None


class Batch(Generic[Array]):
    """Samples as a float tensor `x` with a batch axis, on the model's device, and the way `back`.

    `shape` is that of one measurement. By default the samples are the network's, with images of any size. Raises ValueError
    for arrays of another shape, and unless `bounded` is false for images that are far out of [0, 1].
    """

    def __init__(self, array: Array, model: LPN, shape: tuple[int, ...] | None = None, *, bounded: bool = True) -> None:
        takes = shape or (model.input_shape[0], *[None] * (len(model.input_shape) - 1))
        x = as_tensor(array)
        self.array, self.grey = array, x.dim() == 2 and len(takes) == 3 and takes[0] == 1
        x = x[None] if self.grey else x
        self.single = x.dim() == len(takes)
        x = x[None] if self.single else x
        if x.dim() != len(takes) + 1 or any(
            side not in (None, found) for side, found in zip(takes, x.shape[1:], strict=True)
        ):
            sizes = shape or (*model.input_shape[:1], *"HW"[: len(takes) - 1])
            hint = " Put the channels first." if len(takes) == 3 and x.shape[-1] == takes[0] else ""
            raise ValueError(
                f"the array has the shape {tuple(array.shape)}, but (N, {', '.join(map(str, sizes))}) is needed, or without "
                f"N for a single one.{hint}"
            )
        if bounded and not shape and len(takes) == 3 and x.abs().max() > LARGEST:
            raise ValueError(f"images are in [0, 1], but these have values up to {x.abs().max():g}: scale them.")
        self.x = x.to(next(model.parameters()).device)

    def back(self, result: Tensor) -> Array:
        """Return a result (N, ...) as an array of the kind, and with the axes, of the input."""
        result = result[0] if self.single else result
        result = result[0] if self.grey and result.dim() == 3 else result
        return cast("Array", result.cpu().numpy() if isinstance(self.array, np.ndarray) else result.to(self.array.device))
