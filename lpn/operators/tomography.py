"""Computed tomography with parallel beams."""

import math
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from torch import Tensor

from lpn.operators._base import LinearOperator, OperatorSettings
from lpn.packages import load


class Tomography(LinearOperator):
    """Parallel-beam tomography through ODL and ASTRA: line integrals of an image on [-extent, extent]^2.

    With u down the rows and v along the columns, from the centre of the image, the view at the angle t integrates over the
    lines  u cos t + v sin t = s  and s grows along the detector, whose centre is s = 0. View i is at first + i arc / angles
    degrees. Without `first` it is half a step, and without `width` the detector is as wide as the diagonal of the image.

    As published, inner products are unweighted, so `adjoint` is the transpose. ASTRA computes in float32, with CUDA, if
    it has that, for tensors on a GPU; there the adjoint is only close to the transpose.

    The measurements of images (N, C, n, n) have the shape (N, C, angles, detectors). Raises ValueError for images that are
    not square, and UserError if ODL or ASTRA are missing.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        angles: int = 200,
        detectors: int = 400,
        extent: float = 128.0,
        first: float | None = None,
        arc: float = 180.0,
        width: float | None = None,
    ) -> None:
        TomographySettings().check(input_shape)
        super().__init__(input_shape, (input_shape[0], angles, detectors))
        self.extent, self._padded = extent, 3 * input_shape[1] // 2
        self._width = width or 2 * math.sqrt(2 * extent**2)
        start = 0.0 if first is None else math.radians(first - arc / angles / 2)
        self._reversed = arc < 0  # ODL's angles grow
        self._low, self._high = sorted([start, start + math.radians(arc)])
        self._transforms: dict[torch.device, Any] = {}
        self._transform(torch.device("cpu"))

    def _transform(self, device: torch.device) -> Any:
        """Return ODL's ray transform for arrays on this device."""
        if device in self._transforms:
            return self._transforms[device]
        load(TomographySettings)  # ODL by itself only notices when it is used that ASTRA is missing
        import odl
        from odl.applications import tomo

        on_cpu = device.type == "cpu"
        if not on_cpu and not tomo.ASTRA_CUDA_AVAILABLE:
            print(f"ASTRA has no CUDA here: tomography of tensors on {device} is computed on the CPU", flush=True)
            self._transforms[device] = self._transforms[torch.device("cpu")]
            return self._transforms[device]
        side, (_, angles, detectors) = self.input_shape[1], self.output_shape
        place = {"impl": "numpy"} if on_cpu else {"impl": "pytorch", "device": str(device)}
        corner = (self.extent, self.extent)
        space = odl.uniform_discr([-c for c in corner], corner, (side, side), dtype="float32", weighting=1.0, **place)
        views = odl.uniform_partition(self._low, self._high, angles)
        geometry = tomo.Parallel2dGeometry(views, odl.uniform_partition(-self._width / 2, self._width / 2, detectors))
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
            element = operator.domain.element(image.cpu().numpy() if operator.domain.impl == "numpy" else image)
            out.copy_(torch.as_tensor(operator(element).data))
        return result

    def _in_order(self, y: Tensor) -> Tensor:
        """Return measurements with their views in ODL's order, or those of ODL in ours."""
        return y.flip(2) if self._reversed else y

    def _forward(self, x: Tensor) -> Tensor:
        return self._in_order(self._each(self._transform(x.device), x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._each(self._transform(y.device).adjoint, self._in_order(y))

    def fbp(self, y: Tensor) -> Tensor:
        """Return the filtered back-projection of y, with ODL's Ram-Lak filter."""
        from odl.applications import tomo

        return self._each(tomo.fbp_op(self._transform(y.device)), self._in_order(self._checked(y, self.output_shape)))

    def initial(self, y: Tensor) -> Tensor:
        """Return the filtered back-projection of y."""
        return self.fbp(y)

    @cached_property
    def _symbol(self) -> Tensor:
        """c / |omega|, which A^T A multiplies the spectrum by on the plane (Natterer 1986, theorem II.1.5).

        With pixels of side h and detector cells of width w, c = h^2 / w * angles / pi. At omega = 0 is the mean over
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
        s, n = (self._padded, self._padded), self.input_shape[1]
        inverse = 1 / (weight * self._symbol + rho)
        return lambda r: torch.fft.irfft2(torch.fft.rfft2(r, s=s) * inverse.to(r), s=s)[..., :n, :n]


class TomographySettings(OperatorSettings):
    """Line integrals of each channel along parallel beams; measurements are (angles, detectors), see docs/measurements.md.

    The view at 0 degrees sums along rows, its cells are ordered downwards; that at 90 degrees sums along columns, its cells
    are ordered rightwards. The axis of rotation is the centre of image and detector.
    """

    requires: ClassVar[dict[str, str]] = {
        "odl": "pip install odl",
        "astra": "pip install astra-toolbox (Linux on x86-64), or use the conda environment of environment.yml",
    }
    angles: PositiveInt = Field(default=200, description="number of angles")
    detectors: PositiveInt = Field(default=400, description="number of detector cells")
    extent: PositiveFloat = Field(
        default=128.0,
        description="half the side of the image, in the unit of length of the integrals; H / 2: pixels have the side 1",
    )
    first: float | None = Field(default=None, description="the first angle, in degrees; null: half a step")
    arc: float = Field(
        default=180.0, description="degrees of all views together: `angles` times the step between them; negative: clockwise"
    )
    width: PositiveFloat | None = Field(
        default=None, description="width of the whole detector, in the unit of `extent`; null: the diagonal of the image"
    )

    @field_validator("arc")
    @classmethod
    def _turns(cls, arc: float) -> float:
        if arc == 0:
            raise ValueError("arc is 0, but the angles must differ")
        return arc

    def check(self, input_shape: tuple[int, ...]) -> None:
        _, height, width = input_shape
        if height != width:
            raise ValueError(f"tomography takes square images, not {height} x {width}")

    def build(self, input_shape: tuple[int, ...], seed: int) -> Tomography:
        settings = (self.angles, self.detectors, self.extent, self.first, self.arc, self.width)
        return Tomography(input_shape, *settings)
