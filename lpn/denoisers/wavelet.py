"""Wavelet sparsity, by PyWavelets."""

from collections.abc import Callable

import torch
from torch import Tensor

from lpn.errors import UserError


def wavelet(weight: float, family: str = "db4", levels: int = 4) -> Callable[[Tensor], Tensor]:
    """Return the proximal operator of  weight ||W x||_1,  W the details of an orthogonal wavelet transform.

    With periodic boundaries the transform is orthogonal where 2^levels divides both sides, and the prox is soft
    thresholding of the detail coefficients by `weight` (Donoho and Johnstone 1994). Raises UserError for a family that is
    unknown or not orthogonal.
    """
    import pywt

    if family not in pywt.wavelist(kind="discrete") or not pywt.Wavelet(family).orthogonal:
        raise UserError(f"config key 'prox.family' is {family!r}, no orthogonal wavelet of PyWavelets, such as db4 or sym8.")

    def denoise(x: Tensor) -> Tensor:
        coarse, *details = pywt.wavedec2(x.cpu().numpy(), family, mode="periodization", level=levels)
        shrunk = [tuple(pywt.threshold(part, weight, "soft") for part in level) for level in details]
        restored = torch.from_numpy(pywt.waverec2([coarse, *shrunk], family, mode="periodization")).to(x)
        return restored[..., : x.shape[-2], : x.shape[-1]]  # odd sides come back one longer

    return denoise
