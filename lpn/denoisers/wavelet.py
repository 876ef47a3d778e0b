"""Wavelet sparsity, by PyWavelets."""

import warnings

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator
from torch import Tensor

from lpn.denoisers._base import Denoiser


class Wavelet(Denoiser):
    """The proximal operator of  weight ||W x||_1,  W the details of an orthogonal wavelet transform.

    With periodic boundaries the transform is orthogonal if 2^levels divides both sides, and the prox is soft thresholding of
    the detail coefficients by `weight` (Donoho and Johnstone 1994).
    """

    weight: NonNegativeFloat = Field(description="weight of the norm of the details")
    family: str = Field(default="db4", description="orthogonal wavelet of PyWavelets, such as haar, db4 or sym8")
    levels: PositiveInt | None = Field(
        default=None, description="levels of the transform, 2^levels must divide the sides; none: as many as do, up to 4"
    )

    @field_validator("family")
    @classmethod
    def _is_orthogonal(cls, family: str) -> str:
        import pywt

        known = pywt.wavelist(kind="discrete")  # pyright: ignore[reportAttributeAccessIssue]
        if family not in known or not pywt.Wavelet(family).orthogonal:  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(f"{family!r} is no orthogonal wavelet of PyWavelets, such as db4 or sym8")
        return family

    def check(self, shape: tuple[int, ...]) -> None:
        self._levels(shape)

    def __call__(self, v: Tensor) -> Tensor:
        import pywt

        levels = self._levels(v.shape[1:])
        with warnings.catch_warnings():  # many levels of a small image wrap around the border, and are still orthogonal
            warnings.filterwarnings("ignore", "Level value of .* is too high", UserWarning)
            coarse, *details = pywt.wavedec2(v.cpu().numpy(), self.family, mode="periodization", level=levels)
        shrunk = [tuple(pywt.threshold(part, self.weight, "soft") for part in level) for level in details]
        return torch.from_numpy(pywt.waverec2([coarse, *shrunk], self.family, mode="periodization")).to(v)

    def _levels(self, shape: tuple[int, ...]) -> int:
        """Return the levels for images of shape (C, H, W). Raises ValueError if 2^levels does not divide both sides."""
        _, height, width = shape
        levels = self.levels or next((n for n in (4, 3, 2) if height % 2**n == width % 2**n == 0), 1)
        if height % 2**levels or width % 2**levels:
            raise ValueError(f"wavelets of {levels} levels need sides that are multiples of {2**levels}, not {height} x "
                             f"{width}. Crop the images, or ask for fewer levels")  # fmt: skip
        return levels
