import numpy as np
import pytest
from conftest import BUNDLED

from lpn.perturb import PERTURBATIONS, gaussian


@pytest.mark.parametrize("kind", ["blur", "convex"])
def test_published_perturbations(kind: str) -> None:
    arrays = np.load(BUNDLED / "perturb.npz")
    levels = [name for name in arrays if name.startswith(f"{kind}/")]
    assert len(levels) == 5
    for name in levels:
        ours = PERTURBATIONS[kind](arrays["x"], float(name.split("/")[1]), 0)
        np.testing.assert_allclose(ours, arrays[name], atol=1e-6)


def test_gaussian_adds_clipped_noise_of_its_level() -> None:
    images = np.full((20, 1, 28, 28), 0.5)
    noisy = gaussian(images, 0.1, seed=3)
    assert (noisy - images).std() == pytest.approx(0.1, rel=0.03)
    assert (noisy - images).mean() == pytest.approx(0, abs=0.003)
    np.testing.assert_array_equal(noisy, gaussian(images, 0.1, seed=3))
    assert gaussian(images, 9.0, seed=3).min() == 0
    assert gaussian(images, 9.0, seed=3).max() == 1
    np.testing.assert_array_equal(gaussian(images, 0, seed=3), images)
