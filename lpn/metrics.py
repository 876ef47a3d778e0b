"""Image quality: PSNR and SSIM of scikit-image, one value an image."""

import numpy as np


def psnr(images: np.ndarray, truth: np.ndarray, channelwise: bool = False) -> np.ndarray:
    """Return the PSNR in dB of each image, data range 1; arrays (N, C, H, W) of the same shape.

    `channelwise` takes the mean of the PSNRs of the channels in the place of the PSNR of them all.
    """
    from skimage.metrics import peak_signal_noise_ratio

    if channelwise:
        return np.mean([psnr(images[:, [c]], truth[:, [c]]) for c in range(truth.shape[1])], axis=0)
    pairs = zip(truth, images, strict=True)
    return np.array([peak_signal_noise_ratio(t, x, data_range=1.0) for t, x in pairs])


def ssim(images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the SSIM of each image, data range 1, averaged over channels; arrays (N, C, H, W) of the same shape."""
    from skimage.metrics import structural_similarity

    pairs = zip(truth, images, strict=True)
    return np.array([structural_similarity(t, x, data_range=1.0, channel_axis=0) for t, x in pairs])
