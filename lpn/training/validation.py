"""Validation during training: the quality of denoising, or how far a critic tells images from reconstructions."""

from collections.abc import Callable

import numpy as np
import torch

from lpn.images import centre, to_tensor
from lpn.losses import Pair, generated
from lpn.metrics import check_border, psnr, ssim
from lpn.networks import Network, Regulariser
from lpn.operators import build_operator
from lpn.seeds import torch_generator
from lpn.training.pairs import noisy_pair
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
    assert settings.sigma is not None
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


def make_critic_validation(
    images: np.ndarray, arrays: list[np.ndarray], settings: TrainingSettings, device: torch.device
) -> Callable[[Network], dict[str, float]]:
    """Return model -> the mean of R(reconstruction) - R(image), and that of ||grad R|| half way between the two.

    If the network has a generator, the PSNR (dB) of what it reconstructs comes first.

    Args:
        images: validation images (n, C, H, W); their centres are as large as training patches.
        arrays: their measurements and reconstructions, of `read_pairs`.
        settings: of the training, whose noise is added, the same each time.
        device: the model's device.
    """
    pairs, side = settings.pairs, settings.sample_shape[-1]
    assert pairs is not None
    operator = build_operator(pairs.operator, images.shape[1:], pairs.seed)
    normal = torch.randn(arrays[0].shape, generator=torch_generator(settings.seed, "validation"))
    x, y, start = noisy_pair(images, arrays, operator, pairs, normal)
    whole = Pair(x, start, torch.zeros(len(x), 1, 1, 1), y, operator)

    @torch.no_grad()
    def validate(model: Network) -> dict[str, float]:
        assert isinstance(model, Regulariser)
        scores, distances, norms = [], [], []
        for number in range(len(x)):
            pair = whole.part(number).to(device)
            image, start = centre(pair.image, side), centre(pair.start, side)
            distances.append((model(start) - model(image)).item())
            norms.append(model.value_and_gradient((image + start) / 2)[1].norm().item())
            if settings.network.unrolled_steps:
                scores += psnr(generated(model, pair).cpu().numpy(), pair.image.cpu().numpy()).tolist()
        quality = {"validation_psnr": float(np.mean(scores))} if scores else {}
        return quality | {"validation_distance": float(np.mean(distances)), "validation_gradient": float(np.mean(norms))}

    return validate
