"""Learned proximal networks in ODL (https://odlgroup.github.io/odl), and its operators here.

Needs the package odl: `pip install --editable '.[tomography]'`.
"""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from lpn import api
from lpn.networks import LPN
from lpn.operators import LinearOperator
from lpn.operators._base import operator_fault
from lpn.operators.tomography import Tomography

try:
    import odl
    from odl.functionals import Functional
except ImportError as error:
    raise ImportError("lpn.adapters.odl needs the package odl: pip install --editable '.[tomography]'") from error


def _weight(space: Any) -> float:
    """Return the constant w of a space of arrays whose inner product is  w sum_i x_i y_i.  Raises ValueError for others."""
    weight = getattr(getattr(space, "weighting", None), "const", None)
    if weight is None or isinstance(space, odl.ProductSpace) or not space.is_real:
        needed = "a real space of arrays with a constant weight is needed, such as those of odl.uniform_discr"
        raise ValueError(f"{needed}, not {type(space).__name__}")
    return float(weight)


class _Pointwise(odl.Operator):
    """An operator of a space that a function of its arrays gives."""

    def __init__(self, space: Any, function: Callable[[Any], Any]) -> None:
        super().__init__(space, space, linear=False)
        self._function = function

    def _call(self, x: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - ODL looks at the arguments
        return self._function(x.data)


class LPNFunctional(Functional):
    """The regulariser R of an LPN f = prox_R as a functional of images, with its value, gradient and prox.

    R is multiplied by the constant weight of the space's inner product, so that f is the prox in the space's norm. R is not
    convex in general, and no multiple of it has a known prox. So `proximal` exists for the step sigma = 1 only: an algorithm
    of step tau takes  1/tau times this functional,  which is the weight of R in its objective.

    Args:
        model: the network, of `lpn.load_model` or `lpn.train`.
        space: of images: of shape (H, W), or (C, H, W), of any size, in NumPy or in PyTorch.

    Raises ValueError for a space without a constant weight. The methods do for images of other shapes or ranges, as the
    functions of `lpn` do.
    """

    def __init__(self, model: LPN, space: Any) -> None:
        self._weight = _weight(space)
        super().__init__(space)
        self.model = model

    def _call(self, x: Any) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return R(x), times the weight of the space, by inversion of f (LPN paper, eq. 3.5)."""
        return self._weight * float(api.regulariser(self.model, x.data))

    @property
    def gradient(self) -> Any:
        """The operator  x -> grad R(x) = f^{-1}(x) - x,  for x = prox_R(y) minimises  R + 1/2 ||. - y||^2."""
        return _Pointwise(self.domain, lambda x: api.invert(self.model, x)[0] - x)

    @property
    def proximal(self) -> Callable[..., Any]:
        """The factory  sigma -> f,  which raises ValueError unless sigma = 1."""

        def factory(sigma: float = 1.0) -> Any:
            if not math.isclose(sigma, 1, rel_tol=1e-5):
                raise ValueError(f"an LPN is the prox of sigma R for sigma = 1 only, not {sigma:g}. In an algorithm of step "
                                 "tau use the functional times 1/tau.")  # fmt: skip
            return _Pointwise(self.domain, lambda x: api.prox(self.model, x))

        return factory

    def __repr__(self) -> str:
        return f"LPNFunctional({self.domain!r})"


class OdlOperator(LinearOperator):
    """A linear operator of ODL, applied to each channel of images (N, C, H, W).

    Args:
        operator: with a domain of shape (H, W), with an adjoint. It computes in the precision of its spaces.
        channels: C.

    Raises ValueError if the operator is not linear, if a space of it has no constant weight, or if its adjoint is wrong.
    """

    def __init__(self, operator: Any, channels: int = 1) -> None:
        if not operator.is_linear:
            raise ValueError(f"ODL's {type(operator).__name__} is not linear: take a linear operator")
        # <A x, y> w_range = <x, A* y> w_domain
        self._operator, self._scale = operator, _weight(operator.domain) / _weight(operator.range)
        super().__init__((channels, *operator.domain.shape), (channels, *operator.range.shape))
        if fault := operator_fault(self, self.input_shape):
            raise ValueError(f"ODL's {type(operator).__name__}: {fault}")

    def _forward(self, x: Tensor) -> Tensor:
        return Tomography._each(self._operator, x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._scale * Tomography._each(self._operator.adjoint, y)
