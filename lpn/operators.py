"""Linear measurement operators A of inverse problems y = A x + noise.

"What's in a Prior? Learned Proximal Networks for Inverse Problems", Fang, Buchanan, Sulam, ICLR 2024 (arXiv 2310.14344),
section 5 ("the LPN paper"), and "Learning Proximal Operators", Meinhardt, Moeller, Hazirbas, Cremers, ICCV 2017 (arXiv
1704.03488), section 5. Tensors are batches (N, C, H, W), in any float dtype and on any device; every operator does
the same to each channel.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lpn.errors import UserError
from lpn.files import read_array
from lpn.seeds import numpy_generator


class LinearOperator(ABC):
    """A linear map A from images (N, *input_shape) to measurements (N, *output_shape).

    Attributes:
        input_shape: (C, H, W).
        output_shape: (C, ...).
    """

    def __init__(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        self.input_shape, self.output_shape = tuple(input_shape), tuple(output_shape)
        self._constants: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x. Raises ValueError where the shape does not fit, as all the methods do."""
        return self._forward(self._checked(x, self.input_shape))

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y."""
        return self._adjoint(self._checked(y, self.output_shape))

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
        """Return (weight A^T A + rho I)^{-1} where that has a closed form, else None."""
        return None

    def preconditioner(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        """Return a symmetric positive definite map close to (weight A^T A + rho I)^{-1}, up to a factor."""
        return lambda r: r

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the drawn arrays that make this operator again, to be saved; none where nothing is drawn."""
        return {}

    @cached_property
    def norm(self) -> float:
        """The spectral norm ||A||, to a relative error of 1e-6: by Lanczos iterations on A^T A, unless in closed form."""
        from scipy.sparse.linalg import LinearOperator as Matrix
        from scipy.sparse.linalg import eigsh

        shape = (1, 1, *self.input_shape[1:])  # one channel: all have the same norm
        size = math.prod(shape)

        def normal(v: np.ndarray) -> np.ndarray:
            return self._normal(torch.from_numpy(v).view(shape)).numpy().ravel()

        start = numpy_generator(0, "norm").standard_normal(size)
        matrix = Matrix((size, size), matvec=normal, dtype=np.float64)
        return math.sqrt(eigsh(matrix, k=1, v0=start, tol=1e-6, return_eigenvectors=False)[0])

    @abstractmethod
    def _forward(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _adjoint(self, y: Tensor) -> Tensor: ...

    def _normal(self, x: Tensor) -> Tensor:
        return self._adjoint(self._forward(x))

    def _checked(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        if x.shape[1:] != shape:
            raise ValueError(f"{type(self).__name__} takes tensors of shape (N, {', '.join(map(str, shape))}) here, "
                             f"not {tuple(x.shape)}")  # fmt: skip
        return x

    def _constant(self, name: str, like: Tensor) -> Tensor:
        """Return the tensor self.<name> in the precision and on the device of `like`; each version is made once."""
        key = (name, like.device, like.dtype)
        if key not in self._constants:
            tensor = getattr(self, name)
            dtype = like.dtype.to_complex() if tensor.is_complex() else like.dtype
            self._constants[key] = tensor.to(like.device, dtype)
        return self._constants[key]


class Identity(LinearOperator):
    """Denoising: A = I."""

    norm = 1.0

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        super().__init__(input_shape, input_shape)

    def _forward(self, x: Tensor) -> Tensor:
        return x

    def _adjoint(self, y: Tensor) -> Tensor:
        return y

    def inverse(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        """Return division by weight + rho."""
        return lambda r: r / (weight + rho)


def gaussian_kernel(sigma: float) -> Tensor:
    """Return the Gaussian kernel of the LPN paper: sum 1, side max(5, int(3 sigma)) or the next odd number.

    Raises UserError where sigma is not positive.
    """
    if not 0 < sigma < math.inf:
        raise UserError(f"config key 'operator.sigma' must be a positive number, not {sigma}.")
    radius = max(5, int(3 * sigma)) // 2
    profile = torch.exp(-torch.arange(-radius, radius + 1, dtype=torch.float64).square() / (2 * sigma**2))
    profile /= profile.sum()
    return torch.outer(profile, profile)


def centred_kernel(name: str, side: int, sigma: float | None = None) -> Tensor:
    """Return a blur kernel (side, side) of sum 1: "gaussian", of standard deviation sigma, or "box", which is constant.

    Raises UserError for other names, a Gaussian without sigma, a box with one, and even sides, which have no centre.
    """
    if (name, sigma is None) not in (("gaussian", False), ("box", True)) or side % 2 == 0:
        raise UserError(
            f"config key 'operator': a kernel {name!r} of side {side} and sigma {sigma} is not known. It must be gaussian "
            "(with sigma) or box (without), of odd side."
        )
    profile = torch.ones(side, dtype=torch.float64)
    if sigma is not None:
        profile = torch.exp(-(torch.arange(side, dtype=torch.float64) - side // 2).square() / (2 * sigma**2))
    profile /= profile.sum()
    return torch.outer(profile, profile)


def read_kernel(path: str, number: int = 0) -> Tensor:
    """Return a kernel (a, b) from an .npy file of one, or of a stack (n, a, b) or (n, 1, a, b).

    Raises UserError where the file is missing, damaged or has no such kernel.
    """
    try:
        kernels = read_array(path)
    except ValueError as error:
        raise UserError(f"the blur kernel {path} can't be read as a NumPy array ({error}).") from error
    if kernels.ndim < 2:
        raise UserError(f"the blur kernel {path} must be one array (a, b) or a stack of them (n, a, b), saved by np.save.")
    kernels = kernels.reshape(-1, *kernels.shape[-2:])
    if kernels.ndim != 3 or not 0 <= number < len(kernels):
        raise UserError(f"config key 'operator.number' is {number}; {path} holds {len(kernels)} kernels, counted from 0.")
    return torch.from_numpy(kernels[number].astype(np.float64))


class Blur(LinearOperator):
    """Full linear convolution of each channel with a kernel (a, b): an image (H, W) becomes (H + a - 1, W + b - 1).

    A = K Z, with Z zero padding and K a circular convolution, which the 2-D DFT diagonalises. The padding is at least the
    kernel's side less one, so nothing wraps around in A, nor in the rows of K^T K that are inside the image: A^T A is
    Z^T K^T K Z, one transform there and back.

    Args:
        kernel: (a, b), finite, of nonzero sum, no larger than the image.
        input_shape: (C, H, W).

    Raises UserError for other kernels.
    """

    def __init__(self, kernel: Tensor, input_shape: tuple[int, ...]) -> None:
        from scipy.fft import next_fast_len

        self.kernel = torch.as_tensor(kernel, dtype=torch.float64, device="cpu")
        channels, *sides = input_shape
        if self.kernel.dim() != 2 or any(k > n for k, n in zip(self.kernel.shape, sides, strict=True)):
            raise UserError(f"a blur kernel of shape {tuple(self.kernel.shape)} does not fit images of shape "
                            f"{tuple(sides)}: it must have two axes and be no larger than the image.")  # fmt: skip
        if not (self.kernel.isfinite().all() and self.kernel.sum() != 0):
            raise UserError("the blur kernel must have finite entries and a nonzero sum.")
        output = [n + k - 1 for n, k in zip(sides, self.kernel.shape, strict=True)]
        super().__init__(input_shape, (channels, *output))
        self._padded = [next_fast_len(n, real=True) for n in output]
        self._spectrum = torch.fft.rfft2(self.kernel, s=self._padded)
        self._power = self._spectrum.abs().square()

    def _filter(self, x: Tensor, spectrum: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return the first entries, as many as `shape` has, of the padded x after multiplication by `spectrum`."""
        filtered = torch.fft.irfft2(torch.fft.rfft2(x, s=self._padded) * spectrum, s=self._padded)
        return filtered[..., : shape[1], : shape[2]]

    def _forward(self, x: Tensor) -> Tensor:
        return self._filter(x, self._constant("_spectrum", x), self.output_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._filter(y, self._constant("_spectrum", y).conj(), self.input_shape)

    def _normal(self, x: Tensor) -> Tensor:
        return self._filter(x, self._constant("_power", x), self.input_shape)

    def observed(self, y: Tensor) -> Tensor:
        """Return the part of y that lies over the image."""
        top, left = ((k - 1) // 2 for k in self.kernel.shape)
        return y[..., top : top + self.input_shape[1], left : left + self.input_shape[2]]

    @cached_property
    def _factors(self) -> list[tuple[Tensor, Tensor]] | None:
        """Eigenvalues and eigenvectors of the two factors of A^T A where the kernel is separable (of rank 1), else None.

        A kernel u v^T makes A the Kronecker product T(u) x T(v) of two Toeplitz matrices, and T(u)^T T(u) is the Toeplitz
        matrix of the autocorrelation of u.
        """
        left, values, right = torch.linalg.svd(self.kernel)
        if values[1:].sum() > 1e-6 * values[0]:
            return None
        factors = []
        for profile, size in [(left[:, 0], self.input_shape[1]), (right[0], self.input_shape[2])]:
            row = torch.zeros(size, dtype=torch.float64)
            for lag in range(len(profile)):
                row[lag] = values[0] * profile[lag:] @ profile[: len(profile) - lag]
            position = torch.arange(size)
            factors.append(torch.linalg.eigh(row[(position[:, None] - position).abs()]))
        return factors

    @cached_property
    def norm(self) -> float:
        """||A||: in closed form for separable kernels, else as `LinearOperator.norm`."""
        if self._factors is None:
            return super().norm
        (rows, _), (columns, _) = self._factors
        return math.sqrt(rows[-1] * columns[-1])

    def inverse(self, weight: float, rho: float) -> Callable[[Tensor], Tensor] | None:
        """Return the inverse in the eigenvectors of `_factors` for separable kernels, else None."""
        if self._factors is None:
            return None
        (rows, left), (columns, right) = self._factors
        values = 1 / (weight * torch.outer(rows, columns) + rho)

        @cache
        def constants(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
            return [tensor.to(device, dtype).contiguous() for tensor in (left, left.T, right, right.T, values)]

        def solve(r: Tensor) -> Tensor:
            q, q_transposed, p, p_transposed, scale = constants(r.device, r.dtype)
            return q @ (q_transposed @ r @ p).mul_(scale) @ p_transposed

        return solve

    def preconditioner(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        """Return Z^T (weight K^T K + rho I)^{-1} Z."""
        inverse = 1 / (weight * self._power + rho)
        return lambda r: self._filter(r, inverse.to(r), self.input_shape)


class CircularBlur(LinearOperator):
    """Circular convolution of each channel with a centred kernel: A = F^{-1} diag(k^) F, so measurements are images.

    The blur of Meinhardt et al. 2017 starts its iterations at the measurements, so these have the size of the image; it
    measures the PSNR away from the border, where another boundary would differ. With the 2-D DFT every x-step is exact.

    Args:
        kernel: (a, b), finite, of sum 1, no larger than the image; its centre is entry (a // 2, b // 2).
        input_shape: (C, H, W).

    Raises UserError for other kernels.
    """

    def __init__(self, kernel: Tensor, input_shape: tuple[int, ...]) -> None:
        kernel = torch.as_tensor(kernel, dtype=torch.float64, device="cpu")
        _, *sides = input_shape
        if kernel.dim() != 2 or any(k > n for k, n in zip(kernel.shape, sides, strict=True)):
            raise UserError(f"a blur kernel of shape {tuple(kernel.shape)} does not fit images of shape {tuple(sides)}: it "
                            "must have two axes and be no larger than the image.")  # fmt: skip
        if not (kernel.isfinite().all() and abs(kernel.sum() - 1) < 1e-3):
            raise UserError(
                f"the blur kernel must have finite entries that sum to 1, not to {kernel.sum():.4g}. Divide it by its sum."
            )
        super().__init__(input_shape, input_shape)
        padded = torch.zeros(sides, dtype=torch.float64)
        padded[: kernel.shape[0], : kernel.shape[1]] = kernel
        self._spectrum = torch.fft.rfft2(padded.roll([-(k // 2) for k in kernel.shape], (0, 1)))
        self._power = self._spectrum.abs().square()

    @cached_property
    def norm(self) -> float:
        """||A||, the largest |k^|: 1 for kernels without negative entries."""
        return self._spectrum.abs().max().item()

    def _filter(self, x: Tensor, spectrum: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x) * spectrum, s=x.shape[-2:])

    def _forward(self, x: Tensor) -> Tensor:
        return self._filter(x, self._constant("_spectrum", x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._filter(y, self._constant("_spectrum", y).conj())

    def _normal(self, x: Tensor) -> Tensor:
        return self._filter(x, self._constant("_power", x))

    def initial(self, y: Tensor) -> Tensor:
        """Return y, which has the size of the image."""
        return y

    def inverse(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        """Return the inverse, which the DFT diagonalises too."""
        values = 1 / (weight * self._power + rho)
        return lambda r: self._filter(r, values.to(r))


class BayerMosaic(LinearOperator):
    """The RGGB mosaic of a camera: of each pixel one colour is kept, (3, H, W) becomes (1, H, W). A A^T = I.

    Args:
        input_shape: (3, H, W) with even H and W: whole squares of red green / green blue.

    Raises UserError for other images.
    """

    norm = 1.0

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        channels, height, width = input_shape
        if channels != 3 or height % 2 or width % 2:
            raise UserError(
                f"a Bayer mosaic takes colour images of even sides, not {channels} channels of {height} x {width}. Crop the "
                "images by one row or column (validation images: 'tuning.crop'), or take others."
            )
        super().__init__(input_shape, (1, height, width))
        self._mask = torch.zeros(input_shape, dtype=torch.float64)
        self._mask[0, ::2, ::2] = self._mask[1, ::2, 1::2] = self._mask[1, 1::2, ::2] = self._mask[2, 1::2, 1::2] = 1

    def _forward(self, x: Tensor) -> Tensor:
        return (x * self._constant("_mask", x)).sum(1, keepdim=True)

    def _adjoint(self, y: Tensor) -> Tensor:
        return y * self._constant("_mask", y)

    def _normal(self, x: Tensor) -> Tensor:
        return x * self._constant("_mask", x)

    def initial(self, y: Tensor) -> Tensor:
        """Return the linear demosaicking of Malvar, He, Cutler 2004, clipped to [0, 1]."""
        from colour_demosaicing import demosaicing_CFA_Bayer_Malvar2004 as malvar

        images = [malvar(mosaic.double().cpu().numpy(), "RGGB").transpose(2, 0, 1) for (mosaic,) in y]
        return torch.from_numpy(np.stack(images)).clamp_(0, 1).to(y)

    def inverse(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        """Return the inverse of a diagonal."""
        return lambda r: r / (weight * self._constant("_mask", r) + rho)


class CompressedSensing(LinearOperator):
    """Random partial circulant measurements A = S F^{-1} diag(F a) F D (LPN paper, appendix), F the unitary DFT.

    D multiplies the n = H W pixels of a channel, in row-major order, by random signs; S keeps M of n entries. A A^T is so
    near to I that plain conjugate gradients converge fastest: with S^T S replaced by M/n I, a preconditioner that the DFT
    diagonalises, they take several times as many iterations.

    Args:
        input_shape: (C, H, W).
        filter: a, (n,).
        sign: the diagonal of D, (n,) of -1 and 1.
        rows: the different entries that S keeps, (M,).

    Raises UserError where the arrays do not fit the images.
    """

    def __init__(self, input_shape: tuple[int, ...], filter: np.ndarray, sign: np.ndarray, rows: np.ndarray) -> None:
        channels, *sides = input_shape
        self._n = math.prod(sides)
        if not filter.shape == sign.shape == (self._n,) or len(np.unique(rows)) != len(rows) or rows.max() >= self._n:
            raise UserError(f"arrays of compressed sensing of shapes {filter.shape}, {sign.shape} and {rows.shape} do not "
                            f"fit images of shape {tuple(sides)}: {self._n} weights, as many signs and different rows "
                            f"below {self._n} are needed.")  # fmt: skip
        super().__init__(input_shape, (channels, len(rows)))
        self._arrays = {"filter": filter, "sign": sign, "rows": rows}
        self._sign, self._rows = torch.from_numpy(sign.astype(np.float64)), torch.from_numpy(rows.astype(np.int64))
        self._spectrum = torch.fft.rfft(torch.from_numpy(filter.astype(np.float64)), norm="ortho")

    @classmethod
    def random(cls, input_shape: tuple[int, ...], measurements: int, seed: int) -> "CompressedSensing":
        """Draw the operator: a ~ N(0, I), signs with equal probability, M = `measurements` rows without replacement."""
        n = math.prod(input_shape[1:])
        if not 0 < measurements <= n:
            raise UserError(f"config key 'operator.measurements' must be in 1..{n} for these images, not {measurements}.")
        return cls(
            input_shape,
            filter=numpy_generator(seed, "filter").standard_normal(n),
            sign=numpy_generator(seed, "sign").choice(np.array([-1, 1], dtype=np.int8), n),
            rows=np.sort(numpy_generator(seed, "rows").choice(n, measurements, replace=False)),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return `filter`, `sign` and `rows`: what makes this operator again, to be saved."""
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

        A sample ends once a step changes it by less than 1e-3 of its norm.
        """
        x = torch.zeros_like(self.adjoint(y))
        running = torch.ones(len(y), dtype=torch.bool, device=y.device)
        for _ in range(100):
            step = 0.1 * self.adjoint(self(x) - y) * running.view(-1, 1, 1, 1)
            x = x - step
            running = step.flatten(1).norm(dim=1) >= 1e-3 * x.flatten(1).norm(dim=1)
        return x


class Tomography(LinearOperator):
    """Parallel-beam tomography through ODL and ASTRA: line integrals of an image on [-extent, extent]^2.

    Angles are equally spaced in [0, pi); the detector's cells span the diagonal of the square. As published, inner
    products are unweighted, so `adjoint` is the transpose. ASTRA computes in float32, with CUDA for tensors on a GPU,
    where the adjoint is only close to the transpose.

    Args:
        input_shape: (C, n, n).
        angles: number of angles; the measurements of a channel have the shape (angles, detectors).
        detectors: number of the detector's cells.
        extent: half the side of the image.

    Raises UserError where ODL or ASTRA are missing and for images that are not square.
    """

    def __init__(self, input_shape: tuple[int, ...], angles: int = 200, detectors: int = 400, extent: float = 128.0) -> None:
        channels, height, width = input_shape
        if height != width:
            raise UserError(f"tomography takes square images, not {height} x {width}.")
        super().__init__(input_shape, (channels, angles, detectors))
        self.extent, self._padded = extent, 3 * height // 2
        self._transforms: dict[torch.device, Any] = {}
        self._transform(torch.device("cpu"))

    def _transform(self, device: torch.device) -> Any:
        """Return ODL's ray transform for arrays on this device."""
        if device in self._transforms:
            return self._transforms[device]
        try:
            import astra  # noqa: F401, ODL itself only notices when it is used
            import odl
            from odl.applications import tomo
        except ImportError as error:
            raise UserError(f"tomography needs the packages odl and astra-toolbox ({error}). Install them by "
                            "'pip install odl astra-toolbox' (Linux) or 'conda install -c conda-forge odl astra-toolbox'."
                            ) from error  # fmt: skip
        on_cpu = device.type == "cpu"
        if not on_cpu and not tomo.ASTRA_CUDA_AVAILABLE:
            raise UserError(f"tomography on {device} needs an ASTRA toolbox with CUDA; keep the tensors on the CPU, or "
                            "install one by 'conda install -c conda-forge astra-toolbox=*=cuda*'.")  # fmt: skip
        side, (_, angles, detectors) = self.input_shape[1], self.output_shape
        place = {"impl": "numpy"} if on_cpu else {"impl": "pytorch", "device": str(device)}
        corner = (self.extent, self.extent)
        space = odl.uniform_discr([-c for c in corner], corner, (side, side), dtype="float32", weighting=1.0, **place)
        geometry = tomo.parallel_beam_geometry(space, angles, detectors)
        transform = tomo.RayTransform(space, geometry, impl="astra_cpu" if on_cpu else "astra_cuda")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The 'astra_cpu' backend may be too slow", RuntimeWarning)
            transform.get_impl()
        self._transforms[device] = transform
        return transform

    @staticmethod
    def _each(operator: Any, x: Tensor) -> Tensor:
        """Apply an ODL operator to every channel of every image."""
        x = x.detach()
        result = x.new_empty(*x.shape[:2], *operator.range.shape)
        for image, out in zip(x.float().flatten(0, 1), result.flatten(0, 1), strict=True):
            element = operator.domain.element(image.numpy() if image.device.type == "cpu" else image)
            out.copy_(torch.as_tensor(operator(element).data))
        return result

    def _forward(self, x: Tensor) -> Tensor:
        return self._each(self._transform(x.device), x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._each(self._transform(y.device).adjoint, y)

    def fbp(self, y: Tensor) -> Tensor:
        """Return the filtered back-projection of y, with ODL's Ram-Lak filter."""
        from odl.applications import tomo

        return self._each(tomo.fbp_op(self._transform(y.device)), self._checked(y, self.output_shape))

    def initial(self, y: Tensor) -> Tensor:
        """Return the filtered back-projection of y."""
        return self.fbp(y)

    @cached_property
    def _symbol(self) -> Tensor:
        """c / |omega|, which A^T A multiplies the spectrum by on the plane (Natterer 1986, theorem II.1.5).

        With pixels of side h and detector cells of width w, c = h^2 / w * angles / pi. At omega = 0 stands the mean over
        the square of frequencies that 0 represents.
        """
        _, angles, _ = self.output_shape
        pixel = 2 * self.extent / self.input_shape[1]
        cell = self._transform(torch.device("cpu")).geometry.det_partition.cell_sides[0].item()
        frequency = torch.fft.fftfreq(self._padded, pixel, dtype=torch.float64)
        distance = torch.hypot(frequency[:, None], frequency[: self._padded // 2 + 1])
        distance[0, 0] = frequency[1] / (4 * math.asinh(1))
        return pixel**2 / cell * angles / math.pi / distance

    def preconditioner(self, weight: float, rho: float) -> Callable[[Tensor], Tensor]:
        """Return Z^T (weight B + rho I)^{-1} Z, with B the convolution that A^T A is on the plane and Z zero padding.

        Padding the sides by half saves one CG iteration or two; more does not help, nor do a finer model of pixels, cells
        and angles in B.
        """
        sides = (self._padded, self._padded)
        inverse = 1 / (weight * self._symbol + rho)
        _, height, width = self.input_shape

        def solve(r: Tensor) -> Tensor:
            return torch.fft.irfft2(torch.fft.rfft2(r, s=sides) * inverse.to(r), s=sides)[..., :height, :width]

        return solve


def _identity(input_shape: tuple[int, ...], seed: int) -> Identity:
    return Identity(input_shape)


def _check_side(side: float, input_shape: tuple[int, ...]) -> None:
    """Raise UserError for a kernel larger than the images: making it may take all memory."""
    if side > min(input_shape[1:]):
        raise UserError(
            f"config key 'operator': a blur kernel of side {side:.0f} is larger than the images, {input_shape[1:]}."
        )


def _blur(input_shape: tuple[int, ...], seed: int, sigma: float | None = None, **kernel: Any) -> Blur:
    if sigma is None or kernel:
        return _blur_by(Blur, input_shape, seed, sigma=sigma, **kernel)
    _check_side(3 * sigma, input_shape)
    return Blur(gaussian_kernel(sigma), input_shape)


def _blur_by(
    blur: Callable[[Tensor, tuple[int, ...]], LinearOperator],
    input_shape: tuple[int, ...],
    seed: int,
    kernel: str,
    sigma: float | None = None,
    side: int | None = None,
    number: int = 0,
) -> LinearOperator:
    if side is not None:
        _check_side(side, input_shape)
        return blur(centred_kernel(kernel, side, sigma), input_shape)
    try:
        return blur(read_kernel(kernel, number), input_shape)
    except UserError as error:
        raise UserError(f"{kernel}, kernel {number}: {error}") from error


def _tomography(input_shape: tuple[int, ...], seed: int, **geometry: Any) -> Tomography:
    return Tomography(input_shape, **geometry)


OPERATORS: dict[str, Callable[..., LinearOperator]] = {
    "identity": _identity,
    "blur": _blur,
    "circular_blur": partial(_blur_by, CircularBlur),
    "bayer": lambda input_shape, seed: BayerMosaic(input_shape),
    "tomography": _tomography,
    "compressed_sensing": lambda input_shape, seed, measurements: CompressedSensing.random(input_shape, measurements, seed),
}


def build_operator(config: dict[str, Any], input_shape: tuple[int, ...], seed: int) -> LinearOperator:
    """Build an operator for images of `input_shape` from its config, e.g. {"name": "blur", "sigma": 1.0}.

    Random operators are drawn from `seed`. Raises UserError for an unknown name or an argument that the operator does
    not have.
    """
    arguments = dict(config)
    name = arguments.pop("name", None)
    if name not in OPERATORS:
        raise UserError(f"config key 'operator.name' is {name!r}; the known operators are: {', '.join(OPERATORS)}.")
    try:
        return OPERATORS[name](input_shape, seed, **arguments)
    except TypeError as error:
        raise UserError(f"config key 'operator' does not fit {name}: {error}.") from error
