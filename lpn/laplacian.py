"""What an LPN should learn from samples of the Laplace density exp(-|x|) / 2: soft thresholding (LPN paper, section 5).

With Gaussian noise of standard deviation sigma the negative log density |x| has the weight t = sigma^2, the threshold.
"""

from torch import Tensor


def prox(x: Tensor, sigma: float) -> Tensor:
    """Return soft thresholding, sign(x) max(|x| - t, 0), of each entry of x, a tensor of any shape and float dtype."""
    return x.sign() * (x.abs() - sigma**2).clamp_min(0)


def potential(x: Tensor, sigma: float) -> Tensor:
    """Return the convex function whose gradient is `prox`, max(|x| - t, 0)^2 / 2, of each entry of x."""
    return (x.abs() - sigma**2).clamp_min(0).square() / 2


def regulariser(x: Tensor, sigma: float) -> Tensor:
    """Return the function whose proximal operator is `prox`, t |x|, of each entry of x."""
    return sigma**2 * x.abs()
