"""Image quality: PSNR and SSIM of scikit-image, one value per image."""

import numpy as np

SSIM_WINDOW = 7  # pixels, the side of the window that the SSIM compares


def inside(images: np.ndarray, border: int) -> np.ndarray:
    """Return images (..., H, W) without `border` pixels at each side. Raises ValueError if that leaves no pixel."""
    height, width = images.shape[-2:]
    if border < 0 or min(height, width) - 2 * border < 1:
        raise ValueError(f"a border of {border} pixels does not fit into images of {height}x{width}")
    return images[..., border : height - border, border : width - border]


def psnr(images: np.ndarray, truth: np.ndarray, channelwise: bool = False, border: int = 0) -> np.ndarray:
    """Return the PSNR in dB of each image, data range 1, (N,); both arrays are float (N, C, H, W) of the same shape.

    With `channelwise` it is the mean of the PSNRs of the channels, else the PSNR of all channels together. `border` pixels
    at each side don't count. Raises ValueError if the border leaves no pixel.
    """
    from skimage.metrics import peak_signal_noise_ratio

    images, truth = inside(images, border), inside(truth, border)
    if channelwise:
        return np.mean([psnr(images[:, [c]], truth[:, [c]]) for c in range(truth.shape[1])], axis=0)
    pairs = zip(truth, images, strict=True)
    return np.array([peak_signal_noise_ratio(t, x, data_range=1.0) for t, x in pairs])


def ssim(images: np.ndarray, truth: np.ndarray, border: int = 0) -> np.ndarray:
    """Return the SSIM of each image, data range 1, averaged over channels, (N,); arrays as those of `psnr`.

    Raises ValueError if the border leaves less than the window of 7x7 pixels.
    """
    from skimage.metrics import structural_similarity

    check_border(truth.shape, border)
    pairs = zip(inside(truth, border), inside(images, border), strict=True)
    return np.array([structural_similarity(t, x, data_range=1.0, channel_axis=0) for t, x in pairs])


def check_border(shape: tuple[int, ...], border: int) -> None:
    """Raise ValueError if a border leaves less than the SSIM's window of images of shape (..., H, W)."""
    if min(shape[-2:]) - 2 * border < SSIM_WINDOW:
        raise ValueError(f"border {border} leaves less than 7x7 pixels of images of {shape[-2]}x{shape[-1]}")
