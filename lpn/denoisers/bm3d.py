"""BM3D, by its authors' package, whose licence allows non-commercial use only: an optional extra."""

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from lpn.denoisers._base import Denoiser
from lpn.packages import load


class BM3D(Denoiser):
    """BM3D for white noise of standard deviation `sigma` (Dabov et al. 2007), colour or grey."""

    requires: ClassVar[dict[str, str]] = {"bm3d": "pip install --editable '.[bm3d]' (its licence: non-commercial use only)"}
    sigma: PositiveFloat = Field(description="standard deviation of the noise, of images in [0, 1]")

    def __call__(self, v: Tensor) -> Tensor:
        (bm3d,) = load(BM3D)
        function = bm3d.bm3d_rgb if v.shape[1] == 3 else bm3d.bm3d
        images = [np.atleast_3d(function(image.transpose(1, 2, 0).squeeze(), self.sigma)) for image in v.cpu().numpy()]
        return torch.stack([torch.from_numpy(image.transpose(2, 0, 1)) for image in images]).to(v)
