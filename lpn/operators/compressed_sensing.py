"""Compressed sensing: random measurements, fewer than there are pixels."""

import math

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from lpn.operators._base import LinearOperator, OperatorSettings
from lpn.seeds import numpy_generator


class CompressedSensing(LinearOperator):
    """Random partial circulant measurements A = S F^{-1} diag(F a) F D (LPN paper, appendix), F the unitary DFT.

    D multiplies the n = H W pixels of a channel, in row-major order, by random signs; S keeps M of n entries. A A^T is so
    near to I that plain conjugate gradients converge fastest: with S^T S replaced by M/n I, a preconditioner that the DFT
    diagonalises, they need several times as many iterations.

    The arrays are a, (n,), the diagonal of D, (n,) of -1 and 1, and the different entries that S keeps, (M,). Raises
    ValueError if they do not fit the images.
    """

    def __init__(self, input_shape: tuple[int, ...], filter: np.ndarray, sign: np.ndarray, rows: np.ndarray) -> None:
        channels, *sides = input_shape
        self._n = math.prod(sides)
        if not filter.shape == sign.shape == (self._n,) or len(np.unique(rows)) != len(rows) or rows.max() >= self._n:
            raise ValueError(f"arrays of compressed sensing of shapes {filter.shape}, {sign.shape} and {rows.shape} do not "
                             f"fit images of shape {tuple(sides)}: {self._n} weights, as many signs and different rows "
                             f"below {self._n} are needed.")  # fmt: skip
        super().__init__(input_shape, (channels, len(rows)))
        self._arrays = {"filter": filter, "sign": sign, "rows": rows}
        self._sign, self._rows = torch.from_numpy(sign.astype(np.float64)), torch.from_numpy(rows.astype(np.int64))
        self._spectrum = torch.fft.rfft(torch.from_numpy(filter.astype(np.float64)), norm="ortho")
        self._power = self._spectrum.abs().square()

    @classmethod
    def random(cls, input_shape: tuple[int, ...], measurements: int, seed: int) -> "CompressedSensing":
        """Draw the operator: a ~ N(0, I), signs with equal probability, M = `measurements` <= H W different rows."""
        n = math.prod(input_shape[1:])
        filter = numpy_generator(seed, "filter").standard_normal(n)
        sign = numpy_generator(seed, "sign").choice(np.array([-1, 1], dtype=np.int8), n)
        rows = np.sort(numpy_generator(seed, "rows").choice(n, measurements, replace=False))
        return cls(input_shape, filter, sign, rows)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return `filter`, `sign` and `rows`."""
        return self._arrays

    def _circulant(self, x: Tensor, spectrum: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(x) * spectrum, self._n)

    def _forward(self, x: Tensor) -> Tensor:
        signed = x.flatten(2) * self._constant("_sign", x)
        return self._circulant(signed, self._constant("_spectrum", x))[..., self._rows.to(x.device)]

    def _adjoint(self, y: Tensor) -> Tensor:
        full = y.new_zeros(*y.shape[:2], self._n)
        full[..., self._rows.to(y.device)] = y
        signed = self._circulant(full, self._constant("_spectrum", y).conj()) * self._constant("_sign", y)
        return signed.unflatten(2, self.input_shape[1:])

    def initial(self, y: Tensor) -> Tensor:
        """Return the least-squares solution by gradient descent from 0: step .1, at most 100 steps.

        A sample ends once a step changes it by less than 1e-3 of its norm. All iterates are x = A^T s, so s is iterated, and
        the residual r = A A^T s - y: a step takes two DFTs instead of four. Its norms are inner products,
        `||A^T r||^2 = <r, A A^T r>` and `||x||^2 = <s, r + y>`.
        """
        y = self._checked(y, self.output_shape)
        s, residual = torch.zeros_like(y), -y
        running = torch.ones(len(y), 1, 1, dtype=torch.bool, device=y.device)
        for _ in range(100):
            step = 0.1 * residual * running
            change = self._forward_of_adjoint(step)
            s, residual = s - step, residual - change
            running = _inner(step, change) >= 1e-6 * _inner(s, residual + y)
            if not running.any():
                break
        return self.adjoint(s)

    def _forward_of_adjoint(self, y: Tensor) -> Tensor:
        """Return A A^T y."""
        rows = self._rows.to(y.device)
        full = y.new_zeros(*y.shape[:2], self._n)
        full[..., rows] = y
        return self._circulant(full, self._constant("_power", y))[..., rows]


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner product per sample, (N, 1, 1)."""
    return (a * b).sum((1, 2), keepdim=True)


class CompressedSensingSettings(OperatorSettings):
    """Random measurements of each channel: some entries of its convolution with a random filter, after random signs."""

    measurements: PositiveInt = Field(description="number of measurements of a channel, at most its number of pixels")

    def check(self, input_shape: tuple[int, ...]) -> None:
        _, height, width = input_shape
        if self.measurements > height * width:
            raise ValueError(f"measurements must be in 1..{height * width} for images of {height} x {width}, "
                             f"not {self.measurements}")  # fmt: skip

    def build(self, input_shape: tuple[int, ...], seed: int) -> CompressedSensing:
        return CompressedSensing.random(input_shape, self.measurements, seed)
