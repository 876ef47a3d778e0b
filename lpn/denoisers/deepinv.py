"""The denoisers of the package deepinv (https://deepinv.org), an optional extra."""

from functools import cached_property
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from lpn._deepinv import REQUIRES, deepinv_class, make_deepinv
from lpn.denoisers._base import Denoiser
from lpn.packages import load, missing


class Deepinv(Denoiser):
    """A denoiser of the package deepinv: one of the classes of deepinv.models, with its arguments.

    Some of them download their weights at first use. Install the package by: pip install --editable '.[deepinv]'.
    """

    requires: ClassVar[dict[str, str]] = REQUIRES
    model: str = Field(description="name of the class, e.g. DRUNet")
    arguments: dict[str, Any] = Field(
        default={}, description="its arguments; lists of lists become tensors, other lists tuples"
    )
    sigma: PositiveFloat = Field(description="the noise level, or the threshold, that it is called with")

    def check(self, shape: tuple[int, ...]) -> None:
        if not missing(self):
            self._class()

    @torch.no_grad()
    def __call__(self, v: Tensor) -> Tensor:
        return self._network.to(v.device)(v, self.sigma).to(v)

    @cached_property
    def _network(self) -> Any:
        return make_deepinv(self._class(), self.arguments, seed=0).eval()

    def _class(self) -> type:
        (deepinv,) = load(Deepinv)
        return deepinv_class(deepinv, "models", self.model, "Denoiser", self.arguments)
