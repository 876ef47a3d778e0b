"""Non-local means, by scikit-image."""

from collections.abc import Callable

import torch
from torch import Tensor


def nlm(sigma: float, patch: int = 4, window: int = 15) -> Callable[[Tensor], Tensor]:
    """Return non-local means for white noise of standard deviation `sigma` (Buades, Coll, Morel 2005), colour or grey.

    Patches of patch x patch pixels are compared in a window of window x window; the defaults are those of Meinhardt et al.
    2017. Distances count down to a cut-off of h = .8 sigma after the noise's share, as scikit-image advises for its fast form.
    """
    from skimage.restoration import denoise_nl_means

    options = {"patch_size": patch, "patch_distance": window // 2, "h": 0.8 * sigma, "sigma": sigma, "channel_axis": 0}

    def denoise(x: Tensor) -> Tensor:
        return torch.stack([torch.from_numpy(denoise_nl_means(image, **options)) for image in x.cpu().numpy()]).to(x)

    return denoise
