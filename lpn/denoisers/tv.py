"""Total variation, by scikit-image."""

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from lpn.denoisers._base import Denoiser


class TV(Denoiser):
    """The proximal operator of  weight sum ||grad x||_2,  isotropic and of each channel by itself.

    Rudin, Osher, Fatemi 1992, by the algorithm of Chambolle 2004. The inner iterations end at a relative change of 1e-6: if
    they end earlier, ADMM's residuals leap every so often.
    """

    weight: PositiveFloat = Field(description="weight of the total variation")
    iterations: PositiveInt = Field(default=100, description="most inner iterations")

    def __call__(self, v: Tensor) -> Tensor:
        from skimage.restoration import denoise_tv_chambolle

        images = [
            denoise_tv_chambolle(image, self.weight, eps=1e-6, max_num_iter=self.iterations, channel_axis=0)
            for image in v.cpu().numpy()
        ]
        return torch.stack([torch.from_numpy(image) for image in images]).to(v)
