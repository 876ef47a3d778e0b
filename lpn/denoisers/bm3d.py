"""BM3D, by its authors' package, whose licence allows non-commercial use only: an optional extra."""

from typing import Any

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from lpn.denoisers._base import Denoiser
from lpn.optional import optional


class BM3D(Denoiser):
    """BM3D for white noise of standard deviation `sigma` (Dabov et al. 2007), colour or grey."""

    sigma: PositiveFloat = Field(description="standard deviation of the noise, of images in [0, 1]")

    def check(self, shape: tuple[int, ...]) -> None:
        _package()

    def __call__(self, v: Tensor) -> Tensor:
        package = _package()
        function = package.bm3d_rgb if v.shape[1] == 3 else package.bm3d
        images = [np.atleast_3d(function(image.transpose(1, 2, 0).squeeze(), self.sigma)) for image in v.cpu().numpy()]
        return torch.stack([torch.from_numpy(image.transpose(2, 0, 1)) for image in images]).to(v)


def _package() -> Any:
    return optional("bm3d", "BM3D needs the package bm3d, whose licence is for non-commercial use")
