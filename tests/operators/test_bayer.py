import numpy as np
import pytest

from lpn.operators.bayer import BayerMosaic, BayerSettings
from operators.conftest import draw


def test_mosaic_is_the_packages() -> None:
    from colour_demosaicing import demosaicing_CFA_Bayer_Malvar2004, mosaicing_CFA_Bayer

    x = draw(2, 3, 6, 8).sigmoid()
    operator = BayerMosaic((3, 6, 8))
    for image, mosaic, start in zip(x, operator(x), operator.initial(operator(x)), strict=True):
        expected = mosaicing_CFA_Bayer(image.permute(1, 2, 0).numpy(), "RGGB")
        np.testing.assert_array_equal(mosaic[0].numpy(), expected)
        malvar = demosaicing_CFA_Bayer_Malvar2004(expected, "RGGB").transpose(2, 0, 1).clip(0, 1)
        np.testing.assert_allclose(start.numpy(), malvar)


@pytest.mark.parametrize("shape", [(1, 6, 8), (3, 5, 8), (3, 6, 7)])
def test_mosaic_refuses_other_images(shape: tuple[int, ...]) -> None:
    message = f"colour images of even sides, not {shape[0]} channels of {shape[1]} x {shape[2]}"
    with pytest.raises(ValueError, match=message):
        BayerMosaic(shape)
    with pytest.raises(ValueError, match=message):
        BayerSettings().check(shape)
