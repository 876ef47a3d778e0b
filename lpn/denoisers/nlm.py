"""Non-local means, by scikit-image."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def nlm(sigma: float, patch: int = 4, window: int = 15) -> Callable[[Tensor], Tensor]:
    """Return non-local means for white noise of standard deviation `sigma` (Buades, Coll, Morel 2005), colour or grey.

    Patches of patch x patch pixels (scikit-image takes the next odd number) are compared in a window of window x window; the
    defaults are those of Meinhardt et al. 2017. Distances count beyond the noise's share, with h = .8 sigma, as scikit-image
    advises for its fast form.
    """
    from skimage.restoration import denoise_nl_means

    options = {"patch_size": patch, "patch_distance": window // 2, "h": 0.8 * sigma, "sigma": sigma}

    def denoise(x: Tensor) -> Tensor:
        grey = x.shape[1] == 1  # scikit-image mixes up rows and columns where a channel axis has one entry
        images = x[:, 0].cpu().numpy() if grey else x.cpu().numpy()
        axis = None if grey else 0
        results = np.stack([denoise_nl_means(image, channel_axis=axis, **options) for image in images])
        return torch.from_numpy(results).view(x.shape).to(x)

    return denoise
