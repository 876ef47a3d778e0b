"""Linear measurement operators A of inverse problems y = A x + noise."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lpn.errors import UserError
from lpn.seeds import numpy_generator, torch_generator
from lpn.settings import Component, blame


class _Differentiable(torch.autograd.Function):
    """A linear map whose gradient is its transpose, however the two are computed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, apply: Callable[[Tensor], Tensor], transpose: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.maps = apply, transpose
        return apply(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        apply, transpose = ctx.maps
        return _Differentiable.apply(grad, transpose, apply), None, None


class LinearOperator(ABC):
    """A linear map A from images (N, *input_shape) to measurements (N, *output_shape), (N, C, H, W) and (N, C, ...).

    Autograd differentiates A by A^T and A^T by A, to any order.

    An operator defines `_forward` and `_adjoint`, for any float dtype and device; `_constant` gives it its own tensors in
    those of the input. If it mixes channels it says so, or defines `norm`.
    """

    mixes_channels: ClassVar[bool] = False

    def __init__(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        self.input_shape, self.output_shape = tuple(input_shape), tuple(output_shape)
        self._constants: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x. Raises ValueError if the shape does not fit, as all the methods do."""
        return _Differentiable.apply(self._checked(x, self.input_shape), self._forward, self._adjoint)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y."""
        return _Differentiable.apply(self._checked(y, self.output_shape), self._adjoint, self._forward)

    def normal(self, x: Tensor) -> Tensor:
        """Return A^T A x."""
        return self._normal(self._checked(x, self.input_shape))

    def initial(self, y: Tensor) -> Tensor:
        """Return the image that the LPN paper starts its iterations from, given the measurements y."""
        return self.adjoint(y)

    def observed(self, y: Tensor) -> Tensor:
        """Return the measurements y as an image, (N, *input_shape): what a result is to improve on."""
        return self.initial(y)

    def inverse(self, weight: float, rho: float) -> Callable[[Tensor], Tensor] | None:
        """Return (weight A^T A + rho I)^{-1} if that has a closed form, else None."""
        return None

    def preconditioner(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        """Return a symmetric positive definite map close to (weight A^T A + rho I)^{-1}, up to a factor."""
        return lambda r: r

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the drawn arrays that make this operator again, to be saved; none if nothing is drawn."""
        return {}

    @cached_property
    def norm(self) -> float:
        """The spectral norm ||A||, to a relative error of 1e-6: by Lanczos iterations on A^T A, unless in closed form."""
        from scipy.sparse.linalg import LinearOperator as Matrix
        from scipy.sparse.linalg import eigsh

        channels = self.input_shape[0] if self.mixes_channels else 1  # all have the same norm
        shape = (1, channels, *self.input_shape[1:])
        size = math.prod(shape)

        def normal(v: np.ndarray) -> np.ndarray:
            return self._normal(torch.from_numpy(v).view(shape)).numpy().ravel()

        start = numpy_generator(0, "norm").standard_normal(size)
        matrix: Any = Matrix((size, size), matvec=normal, dtype=np.float64)  # pyright: ignore[reportCallIssue]
        tolerance: Any = 1e-6  # SciPy's annotation is int
        return math.sqrt(eigsh(matrix, k=1, v0=start, tol=tolerance, return_eigenvectors=False)[0])

    @abstractmethod
    def _forward(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _adjoint(self, y: Tensor) -> Tensor: ...

    def _normal(self, x: Tensor) -> Tensor:
        return self._adjoint(self._forward(x))

    def _checked(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        if x.shape[1:] != shape:
            needed = f"(N, {', '.join(map(str, shape))})"
            raise ValueError(f"{type(self).__name__} takes tensors of shape {needed} here, not {tuple(x.shape)}")
        return x

    def _constant(self, name: str, like: Tensor) -> Tensor:
        """Return the tensor self.<name> in the precision and on the device of `like`; each version is made once."""
        key = (name, like.device, like.dtype)
        if key not in self._constants:
            tensor = getattr(self, name)
            dtype = like.dtype.to_complex() if tensor.is_complex() else like.dtype
            self._constants[key] = tensor.to(like.device, dtype)
        return self._constants[key]


class OperatorSettings(Component):
    """Settings of a linear operator, which `build` makes for images of a shape."""

    kind: ClassVar[str] = "operator"
    known_norm: ClassVar[float | None] = None  # ||A||, if it is the same for all images and needs no computation

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Raise ValueError if images of shape (C, H, W) can't be measured. Reads no files and computes nothing."""

    def build(self, input_shape: tuple[int, ...], seed: int) -> LinearOperator:
        """Return the operator for images of shape (C, H, W); random operators are drawn from `seed`."""
        raise NotImplementedError(f"{type(self).__name__} lacks the method build(self, input_shape, seed)")


def build_operator(settings: OperatorSettings, input_shape: tuple[int, ...], seed: int) -> LinearOperator:
    """Build an operator for images of shape (C, H, W); one from a file of the user's is tested on random numbers first.

    Raises ValueError if it does not fit the images. For an operator of the user's, also if it fails, if its results have
    another shape or dtype than they should, or if its adjoint is wrong: `<A x, y> = <x, A^T y>` must hold to 1e-3
    of ||A x|| ||y|| in float32. Raises UserError if a file or a package is missing or damaged.
    """
    try:
        settings.check(input_shape)
        operator = settings.build(input_shape, seed)
        fault = operator_fault(operator, input_shape) if settings.plug_in else None
    except Exception as error:
        place = blame(settings, error)
        if not place or isinstance(error, UserError):
            raise
        raise ValueError(f"{place}{type(error).__name__}: {error}") from error
    if fault:
        raise ValueError(f"{settings.name}: {fault}")
    return operator


def operator_fault(operator: Any, input_shape: tuple[int, ...]) -> str | None:
    """Return what is wrong with an operator, by a random image and a random measurement."""
    if not isinstance(operator, LinearOperator):
        return f"`build` returned {type(operator).__name__}; it must return a LinearOperator (from lpn.operators)."
    if operator.input_shape != tuple(input_shape):
        return f"the operator's input_shape is {operator.input_shape}, but the images have {tuple(input_shape)}."
    generator = torch_generator(0, "adjoint")
    x, y = (torch.randn(1, *shape, generator=generator) for shape in (operator.input_shape, operator.output_shape))
    ax, aty = operator(x), operator.adjoint(y)
    for what, result, like in (("A x", ax, y), ("A^T y", aty, x)):
        if not isinstance(result, Tensor) or result.shape != like.shape or result.dtype != like.dtype:
            found = f"{result.dtype} {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
            return f"{what} is {found}, but it must be {like.dtype} {tuple(like.shape)}, as the operator's shapes say."
    # A x and a random y are almost orthogonal, so a wrong scale of the adjoint shows in the other two pairs only
    for image, measured in [(x, y), (x, ax), (aty, y)]:
        pairs = [(operator(image), measured), (image, operator.adjoint(measured))]
        left, right = ((a.double() * b.double()).sum().item() for a, b in pairs)
        if not abs(left - right) <= 1e-3 * (pairs[0][0].double().norm() * measured.double().norm()).item():
            return (f"the adjoint is not that of the operator: <A x, y> = {left:.6g}, but <x, A^T y> = {right:.6g} for some "
                    "x and y. Make `_adjoint` the transpose of `_forward`.")  # fmt: skip
    return None
