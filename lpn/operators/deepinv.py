"""The linear operators of the package deepinv (https://deepinv.org), an optional extra."""

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from lpn._deepinv import REQUIRES, deepinv_class, make_deepinv
from lpn.operators._base import LinearOperator, OperatorSettings, operator_fault
from lpn.packages import load, missing


class DeepinvOperator(LinearOperator):
    """A linear physics of deepinv, without its noise. It computes in float32, on the device of its input.

    Args:
        physics: a `deepinv.physics.LinearPhysics`, which is moved to the device of the images.
        input_shape: of images, (C, H, W).

    Raises ValueError if the physics is not linear, can't measure such images, gives something else than one real tensor, or
    has a wrong adjoint.
    """

    mixes_channels = True

    def __init__(self, physics: Any, input_shape: tuple[int, ...]) -> None:
        name = f"deepinv's {type(physics).__name__}"
        (deepinv,) = load(DeepinvSettings)
        if not isinstance(physics, deepinv.physics.LinearPhysics):
            raise ValueError(f"{name} is not linear: take a subclass of deepinv.physics.LinearPhysics")
        self.physics = physics
        try:
            measured = physics.A(torch.zeros(1, *input_shape))
            physics.A_adjoint(measured)
        except Exception as error:
            raise ValueError(f"{name} can't measure images of shape {tuple(input_shape)}: {error}") from error
        if not isinstance(measured, Tensor) or measured.is_complex():
            raise ValueError(
                f"{name} gives {getattr(measured, 'dtype', type(measured).__name__)}; one real tensor is needed"
            )
        super().__init__(input_shape, tuple(measured.shape[1:]))
        if fault := operator_fault(self, input_shape):
            raise ValueError(f"{name}: {fault}")

    @torch.no_grad()
    def _forward(self, x: Tensor) -> Tensor:
        return self.physics.to(x.device).A(x.float()).to(x)

    @torch.no_grad()
    def _adjoint(self, y: Tensor) -> Tensor:
        return self.physics.to(y.device).A_adjoint(y.float()).to(y)

    def arrays(self) -> dict[str, Any]:
        """Return the physics' buffers, such as masks and filters."""
        state = self.physics.state_dict()
        return {f"physics.{name}": value.cpu().resolve_conj().numpy() for name, value in state.items()}


class DeepinvSettings(OperatorSettings):
    """A linear physics of the package deepinv: one of the classes of deepinv.physics, with its arguments.

    Images must have the shape (C, H, W) that the class asks for. `img_size` is that shape where the class needs it. The
    adjoint is tested on random numbers. Install the package by: pip install --editable '.[deepinv]'.
    """

    requires: ClassVar[dict[str, str]] = REQUIRES
    physics: str = Field(description="name of the class, e.g. Inpainting")
    arguments: dict[str, Any] = Field(
        default={}, description="its arguments; lists of lists become tensors, other lists tuples"
    )

    def check(self, input_shape: tuple[int, ...]) -> None:
        if not missing(self):
            self._class()

    def build(self, input_shape: tuple[int, ...], seed: int) -> DeepinvOperator:
        physics = make_deepinv(self._class(), self.arguments, seed, img_size=tuple(input_shape))
        return DeepinvOperator(physics, input_shape)

    def _class(self) -> type:
        (deepinv,) = load(DeepinvSettings)
        return deepinv_class(deepinv, "physics", self.physics, "LinearPhysics", self.arguments)
