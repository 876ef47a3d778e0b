"""BM3D, by its authors' package, whose licence allows non-commercial use only: an optional extra."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lpn.errors import UserError


def bm3d(sigma: float) -> Callable[[Tensor], Tensor]:
    """Return BM3D for white noise of standard deviation `sigma` (Dabov et al. 2007), colour or grey.

    Raises UserError where the package is missing.
    """
    try:
        import bm3d as package
    except ImportError as error:
        raise UserError(
            "the method BM3D needs the package bm3d, whose licence is for non-commercial use: pip install --editable "
            "'.[bm3d]', or remove the method from the config."
        ) from error

    def denoise(x: Tensor) -> Tensor:
        function = package.bm3d_rgb if x.shape[1] == 3 else package.bm3d
        images = [np.atleast_3d(function(image.transpose(1, 2, 0).squeeze(), sigma)) for image in x.cpu().numpy()]
        return torch.stack([torch.from_numpy(image.transpose(2, 0, 1)) for image in images]).to(x)

    return denoise
