"""Image quality: PSNR and SSIM of scikit-image, one value per image, without `border` pixels at each side."""

import numpy as np

SSIM_WINDOW = 7  # pixels, the side of the window that the SSIM compares


def check_border(shape: tuple[int, ...], border: int) -> None:
    """Raise ValueError for a negative border, and unless it leaves the SSIM's window of images of shape (..., H, W)."""
    if border < 0:
        raise ValueError(f"border must not be negative, and is {border}")
    if min(shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"images of {shape[-2]}x{shape[-1]} pixels are smaller than the window of the SSIM, 7x7")
    if min(shape[-2:]) - 2 * border < SSIM_WINDOW:
        raise ValueError(f"border {border} leaves less than 7x7 pixels of images of {shape[-2]}x{shape[-1]}")


def _inside(images: np.ndarray, border: int) -> np.ndarray:
    height, width = images.shape[-2:]
    return images[..., border : height - border, border : width - border]


def psnr(images: np.ndarray, truth: np.ndarray, channelwise: bool = False, border: int = 0) -> np.ndarray:
    """Return the PSNR in dB of each image, data range 1, (N,); both arrays are float (N, C, H, W) of the same shape.

    With `channelwise` it is the mean of the PSNRs of the channels, else the PSNR of all channels together. Raises ValueError
    if a border leaves less than 7x7 pixels.
    """
    from skimage.metrics import peak_signal_noise_ratio

    if border:
        check_border(truth.shape, border)
    images, truth = _inside(images, border), _inside(truth, border)
    if channelwise:
        return np.mean([psnr(images[:, [c]], truth[:, [c]]) for c in range(truth.shape[1])], axis=0)
    return np.array([peak_signal_noise_ratio(t, x, data_range=1.0) for t, x in zip(truth, images, strict=True)])


def ssim(images: np.ndarray, truth: np.ndarray, border: int = 0) -> np.ndarray:
    """Return the SSIM of each image, data range 1, averaged over channels, (N,); arrays and errors as those of `psnr`."""
    from skimage.metrics import structural_similarity

    check_border(truth.shape, border)
    pairs = zip(_inside(truth, border), _inside(images, border), strict=True)
    return np.array([structural_similarity(t, x, data_range=1.0, channel_axis=0) for t, x in pairs])
