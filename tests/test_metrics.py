import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from lpn.metrics import check_border, psnr, ssim


def test_channelwise_psnr() -> None:
    truth = np.random.default_rng(0).random((2, 3, 8, 8))
    images = truth + np.array([0.01, 0.02, 0.04]).reshape(3, 1, 1)
    expected = [peak_signal_noise_ratio(truth[0, c], images[0, c], data_range=1.0) for c in range(3)]
    np.testing.assert_allclose(psnr(images, truth, channelwise=True), [np.mean(expected)] * 2, rtol=1e-12)
    assert (psnr(images, truth) < psnr(images, truth, channelwise=True)).all()


def test_border_does_not_count() -> None:
    random = np.random.default_rng(0)
    truth = random.random((2, 3, 15, 17))
    images = truth + 0.1 * random.standard_normal(truth.shape)
    inside = (images[..., 3:-3, 3:-3], truth[..., 3:-3, 3:-3])
    for channelwise in (False, True):
        np.testing.assert_array_equal(psnr(images, truth, channelwise, 3), psnr(*inside, channelwise))
    np.testing.assert_array_equal(ssim(images, truth, 3), ssim(*inside))


def test_images_that_are_smaller_than_the_window_are_refused() -> None:
    images = np.zeros((1, 1, 6, 16))
    with pytest.raises(ValueError, match="images of 6x16 pixels are smaller than the window of the SSIM, 7x7"):
        ssim(images, images)


def test_images_of_another_size_than_the_truth_are_refused() -> None:
    images, truth = np.zeros((1, 1, 16, 16)), np.zeros((1, 1, 18, 18))
    for quality in (psnr, ssim):
        for border in (0, 2):
            with pytest.raises(ValueError, match="must have the same dimensions"):
                quality(images, truth, border=border)


def test_borders_that_leave_too_little_are_refused() -> None:
    images = np.zeros((1, 1, 10, 16))
    check_border(images.shape, 1)
    with pytest.raises(ValueError, match="border 2 leaves less than 7x7 pixels of images of 10x16"):
        ssim(images, images, 2)
    for border, message in ((5, "border 5 leaves less than 7x7 pixels"), (-1, "border must not be negative, and is -1")):
        with pytest.raises(ValueError, match=message):
            psnr(images, images, border=border)
