"""Total variation, by scikit-image."""

from collections.abc import Callable

import torch
from torch import Tensor

from lpn.errors import UserError


def tv(weight: float, iterations: int = 100) -> Callable[[Tensor], Tensor]:
    """Return the proximal operator of  weight sum ||grad x||_2,  isotropic and of each channel by itself (Chambolle 2004).

    Rudin, Osher, Fatemi 1992; `iterations` bounds the inner iterations, which end at a relative change of 1e-6:
    after fewer, ADMM's residuals leap every so often. Raises UserError unless the weight is positive.
    """
    from skimage.restoration import denoise_tv_chambolle

    if not weight > 0:
        raise UserError(f"config key 'prox.weight' is {weight}; it must be positive.")

    def denoise(x: Tensor) -> Tensor:
        images = [
            denoise_tv_chambolle(image, weight, eps=1e-6, max_num_iter=iterations, channel_axis=0)
            for image in x.cpu().numpy()
        ]
        return torch.stack([torch.from_numpy(image) for image in images]).to(x)

    return denoise
