"""Non-local means, by scikit-image."""

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from lpn.denoisers._base import Denoiser


class NLM(Denoiser):
    """Non-local means for white noise of standard deviation `sigma` (Buades, Coll, Morel 2005), colour or grey.

    Patches of patch x patch pixels (scikit-image uses the next odd number) are compared in a window of window x window; the
    defaults are those of Meinhardt et al. 2017. Distances count beyond the noise's share, with h = .8 sigma, as scikit-image
    advises for its fast form.
    """

    sigma: PositiveFloat = Field(description="standard deviation of the noise, of images in [0, 1]")
    patch: PositiveInt = Field(default=4, description="side of the patches that are compared, in pixels")
    window: int = Field(default=15, ge=3, description="side of the window that is searched for similar patches, in pixels")

    def __call__(self, v: Tensor) -> Tensor:
        from skimage.restoration import denoise_nl_means

        options = {"patch_size": self.patch, "patch_distance": self.window // 2, "h": 0.8 * self.sigma, "sigma": self.sigma}
        grey = v.shape[1] == 1  # scikit-image mixes up rows and columns if a channel axis has one entry
        images, axis = (v[:, 0].cpu().numpy(), None) if grey else (v.cpu().numpy(), 0)
        results = np.stack([denoise_nl_means(image, channel_axis=axis, **options) for image in images])
        return torch.from_numpy(results).view(v.shape).to(v)
