"""What all denoisers share: a denoiser takes the place of a proximal operator in plug-and-play algorithms."""

from collections.abc import Callable
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from lpn.settings import Component, blame

Prox = Callable[[Tensor], Tensor]  # images (N, C, H, W) -> images of the same shape, dtype and device


class Denoiser(Component):
    """A denoiser with its settings: a callable on float32 images (N, C, H, W)."""

    kind: ClassVar[str] = "prox"
    clip: bool = Field(default=False, description="whether the output is clipped to [0, 1]")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError if images of shape (C, H, W) can't be denoised."""

    def __call__(self, v: Tensor) -> Tensor:
        """Return the denoised images, in the shape and dtype and on the device of v."""
        raise NotImplementedError(f"{type(self).__name__} lacks the method __call__(self, v)")


def as_prox(denoiser: Denoiser) -> Prox:
    """Return a denoiser that needs no network as a function, clipped if its settings say so.

    The function raises ValueError if the denoiser, a file of the user's perhaps, fails or returns another shape or dtype
    than that of its input.
    """

    def prox(v: Tensor) -> Tensor:
        try:
            z = denoiser(v)
        except Exception as error:
            if place := blame(denoiser, error):
                raise ValueError(f"{place}{type(error).__name__}: {error}") from error
            raise
        if not isinstance(z, Tensor) or (z.shape, z.dtype) != (v.shape, v.dtype):
            found = f"{z.dtype} {tuple(z.shape)}" if isinstance(z, Tensor) else type(z).__name__
            raise ValueError(f"the denoiser {denoiser.name} returned {found} for {v.dtype} {tuple(v.shape)}; the shape and "
                             "the dtype must be those of its input, e.g. by `.to(v)`.")  # fmt: skip
        return z.clamp(0, 1) if denoiser.clip else z

    return prox
