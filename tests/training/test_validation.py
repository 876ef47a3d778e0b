import numpy as np
import pytest
import torch

from lpn.metrics import psnr
from lpn.networks import build_network
from lpn.training.validation import make_validation

from .conftest import small_settings

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 1, 30, 40)).astype(np.uint8)


def test_quality_of_the_denoised_centres() -> None:
    """A network that changes nothing has the PSNR of the noise."""
    settings = small_settings(sigma=0.05)
    model = build_network(settings.network)

    class Unchanged(type(model)):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert not self.training
            return x

    model.__class__ = Unchanged
    scores = make_validation(IMAGES, settings, torch.device("cpu"))(model)
    assert scores["validation_psnr"] == pytest.approx(-20 * np.log10(0.05), abs=0.2)
    assert 0.9 < scores["validation_ssim"] < 1
    assert model.training
    assert scores == make_validation(IMAGES, settings, torch.device("cpu"))(model)
    clipped = make_validation(IMAGES, small_settings(sigma=0.05, clip_noisy=True), torch.device("cpu"))(model)
    assert clipped["validation_psnr"] > scores["validation_psnr"]
    assert psnr(IMAGES[:1] / 255, IMAGES[:1] / 255 + 0.05)[0] == pytest.approx(-20 * np.log10(0.05))


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="28 don't fit into images of 20x40"):
        make_validation(IMAGES[:, :, :20], small_settings(), torch.device("cpu"))
    tiny = small_settings(network={"name": "dncnn", "hidden": 2, "depth": 2}, patch=6)
    with pytest.raises(ValueError, match="images of 6x6 pixels are smaller than the window of the SSIM, 7x7"):
        make_validation(IMAGES, tiny, torch.device("cpu"))
