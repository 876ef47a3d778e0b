"""Learned proximal networks in deepinv (https://deepinv.org): `pip install --editable '.[deepinv]'`."""

import math
from typing import Any

import torch
from torch import Tensor

from lpn import api
from lpn.denoisers import Relaxed, whole
from lpn.networks import LPN

try:
    from deepinv.models import Denoiser
    from deepinv.optim import Prior
except ImportError as error:
    raise ImportError("lpn.adapters.deepinv needs the package deepinv: pip install --editable '.[deepinv]'") from error


class LPNPrior(Prior):
    """The regulariser R of an LPN f = prox_R as an explicit prior, for images (N, C, H, W) of any size.

    R is not convex in general, and no multiple of it has a known prox. So `prox` exists for the weight gamma = 1 only:
    algorithms need  lambda_reg stepsize = 1,  and the data term takes the weight. With a strength g below 1, R is that of
    the weaker prox  g f + (1 - g) id  (`lpn.denoisers.Relaxed`).

    Args:
        model: the network, of `lpn.load_model` or `lpn.train`. It does not get gradients.
        strength: g, in (0, 1]; another raises ValueError.

    The methods raise ValueError for images of other channels, types or ranges, as the functions of `lpn` do.
    """

    def __init__(self, model: LPN, strength: float = 1.0) -> None:
        super().__init__()
        self.explicit_prior = True
        self.model = model if strength == 1 else Relaxed(model, strength)
        self._last: tuple[Tensor, Tensor] | None = None  # output and input of `prox`: there the inverse is known

    def fn(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return R(x), float64 (N,), by inversion of f (LPN paper, eq. 3.5), or without it at the last output of `prox`."""
        return api.regulariser(self.model, x, self._known(x))

    def grad(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return grad R(x) = f^{-1}(x) - x, since x = prox_R(y) minimises  R + 1/2 ||. - y||^2  for y = f^{-1}(x)."""
        y = self._known(x)
        return ((api.invert(self.model, x)[0] if y is None else y) - x).to(x)

    def prox(self, x: Tensor, *args: Any, gamma: float | Tensor = 1.0, **kwargs: Any) -> Tensor:
        """Return f(x), the prox of R. Raises ValueError unless gamma = 1."""
        if not math.isclose(float(gamma), 1, rel_tol=1e-5):
            raise ValueError(f"an LPN is the prox of gamma R for gamma = 1 only, not {float(gamma):g}. Choose stepsize and "
                             "lambda_reg with the product 1 and weigh the data term, or lower the strength.")  # fmt: skip
        z = api.prox(self.model, x)
        self._last = z, x
        return z

    def _known(self, x: Tensor) -> Tensor | None:
        """Return f^{-1}(x) if x is the last output of `prox`."""
        return self._last[1] if self._last and torch.equal(self._last[0], x) else None


class LPNDenoiser(Denoiser):
    """An LPN as a denoiser of images (N, C, H, W) of any size, which removes noise of the level it was trained on.

    Args:
        model: the network, of `lpn.load_model` or `lpn.train`.
    """

    def __init__(self, model: LPN) -> None:
        super().__init__(str(next(model.parameters()).device))
        self.model = model

    def forward(self, x: Tensor, sigma: float | Tensor | None = None, **kwargs: Any) -> Tensor:
        """Return f(x). The network has no other noise level, so `sigma` changes nothing.

        Raises ValueError for another number of channels.
        """
        return whole(self.model, tuple(x.shape[1:]))(x)
