"""Validation during training: the quality of denoising."""

from collections.abc import Callable

import numpy as np
import torch

from lpn.images import centre, to_tensor
from lpn.metrics import check_border, psnr, ssim
from lpn.networks import Network
from lpn.seeds import torch_generator
from lpn.training.settings import TrainingSettings


def make_validation(
    images: np.ndarray, settings: TrainingSettings, device: torch.device
) -> Callable[[Network], dict[str, float]]:
    """Return model -> mean PSNR (dB) and SSIM of denoising the same noisy images each time.

    Args:
        images: validation images (n, C, H, W), uint8 or float32 in [0, 1]; their centres are as large as training patches.
        settings: of the training, whose noise is added.
        device: the model's device.

    Raises ValueError if the images are smaller than training patches, or these are than the window of the SSIM.
    """
    clean = centre(to_tensor(images), settings.sample_shape[-1])
    check_border(clean.shape, 0)
    noise = torch.randn(clean.shape, generator=torch_generator(settings.seed, "validation"))
    noisy = clean + settings.sigma * noise
    noisy = (noisy.clamp(0, 1) if settings.clip_noisy else noisy).to(device)

    @torch.no_grad()
    def validate(model: Network) -> dict[str, float]:
        model.eval()
        denoised = torch.cat([model(part) for part in noisy.split(50)]).cpu().numpy()
        model.train()
        return {
            "validation_psnr": float(psnr(denoised, clean.numpy()).mean()),
            "validation_ssim": float(ssim(denoised, clean.numpy()).mean()),
        }

    return validate
