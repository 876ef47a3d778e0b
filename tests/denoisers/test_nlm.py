import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lpn.denoisers.nlm import NLM


def test_non_local_means() -> None:
    """It removes noise from an image with repeated structure, and leaves a constant as it is."""
    clean = torch.from_numpy(np.kron(np.arange(16).reshape(4, 4) % 2, np.ones((8, 8)))).float().expand(2, 1, 32, 32)
    noisy = clean + 0.05 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    denoise = NLM(sigma=0.05)
    assert (denoise(noisy) - clean).square().mean() < 0.3 * (noisy - clean).square().mean()
    flat = torch.full((1, 3, 20, 20), 0.4)
    torch.testing.assert_close(denoise(flat), flat)
    assert denoise(noisy).dtype == torch.float32


@pytest.mark.parametrize("values", [{"sigma": 0}, {"sigma": 0.1, "patch": 0}, {"sigma": 0.1, "window": 2}])
def test_bad_settings_are_refused(values: dict) -> None:
    with pytest.raises(ValidationError, match="greater than"):
        NLM(**values)
