"""The library in a few functions, on NumPy arrays or PyTorch tensors. `import lpn` gives them.

Images are arrays (N, C, H, W), or (C, H, W) for a single one, or (H, W) if the network has one channel. They are float32 or
float64 in [0, 1], or uint8, which is divided by 255. Images of another size than the network's are treated by patches, by
`lpn.denoisers.PatchLPN`, which is an exact proximal operator too. Networks of numbers take samples (N, 1).

Results are arrays of the same kind, with the same axes; those of tensors are on the same device. The network computes them
on its own device. Every function raises ValueError for an array of another shape, type or range.
"""

import copy
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from lpn.arrays import Array, Batch, as_tensor
from lpn.certificate import Certificate, CertificateSettings
from lpn.certificate import certify as _certify
from lpn.checkpoints import load_model as _load_model
from lpn.checkpoints import save_model
from lpn.compute import find_device
from lpn.denoisers import ExactProx, whole
from lpn.errors import UserError
from lpn.images import centre
from lpn.networks import LPN
from lpn.operators import LinearOperator, OperatorSettings, build_operator
from lpn.prior import invert as _invert
from lpn.prior import regulariser as _regulariser
from lpn.settings import Choice, sentences

__all__ = ["certify", "invert", "load_model", "make_operator", "prox", "reconstruct", "regulariser", "save_model", "train"]


def load_model(path: str | Path, device: str = "auto") -> LPN:
    """Load a learned proximal network from `model.pt`, with `model_config.json` beside it, or from `model.safetensors`.

    `device` is auto (CUDA if there is one), cpu, cuda, cuda:1, ... Raises ValueError for one that is not there, and
    UserError if the file is missing or damaged, or holds another network.
    """
    where, model = find_device(device), _load_model(path)
    if not isinstance(model, LPN):
        raise UserError(f"{path} is a network '{model.config['name']}', not a learned proximal network. Give another model.")
    return model.to(where)


def prox(model: LPN, images: Array) -> Array:
    """Return f(x), the proximal operator of the learned regulariser R at images x, in their shape and float dtype.

    f(x) = argmin_z R(z) + 1/2 ||z - x||^2 = grad psi(x)  (LPN paper, arXiv 2310.14344, section 3). It removes noise of the
    level that the network was trained on.
    """
    given = Batch(images, model)
    with torch.no_grad():
        return given.back(_network(model, given.x.dtype, given.x)(given.x))


def invert(model: LPN, images: Array, tolerance: float = 1e-6) -> tuple[Array, Array]:
    """Return y with f(y) = x, float64 in the shape of the images x, and the relative residual of each image, float64 (N,).

    The residual is ||f(y) - x|| / max(||x||, 0.01 sqrt(n)) for images of n entries (LPN paper, section 3.3). Warns if one is
    above the tolerance. A single image has a single residual, ().
    """
    given = Batch(images, model)
    x = given.x.double()
    inversion = _invert(_network(model, x.dtype, x), x, tolerance=tolerance)
    if not inversion.converged.all():
        worst = int(inversion.residual.argmax())
        warnings.warn(f"f(y) = x is solved to {inversion.residual[worst]:.2g} only at image {worst}, not to {tolerance:g}.",
                      RuntimeWarning, stacklevel=2)  # fmt: skip
    return given.back(inversion.y), given.back(inversion.residual)


def regulariser(model: LPN, images: Array, inverse: Array | None = None, tolerance: float = 1e-6) -> Array:
    """Return R at images x, float64 (N,), or () for a single one. It is minus the log of the learned prior up to a constant.

    `R(x) = <x, y> - 1/2 ||x||^2 - psi(y)` with y = f^{-1}(x) (LPN paper, eq. 3.5). Only differences of R mean anything.
    `inverse` is y, if it is known: for x = prox(v) it is v. Else `invert` computes it, with its `tolerance` and its warning.
    """
    given = Batch(images, model)
    x = given.x.double()
    y = invert(model, x, tolerance)[0] if inverse is None else Batch(inverse, model, bounded=False).x.double()
    if y.shape != x.shape:
        raise ValueError(f"the inverse has the shape {tuple(y.shape)}, but the images have {tuple(x.shape)}.")
    return given.back(_regulariser(_network(model, x.dtype, x), x, y))


def certify(model: LPN, images: Array, **settings: Any) -> Certificate:
    """Certify at images that the network is a proximal operator. The `failures` of the result say why it is not.

    It is one iff it is the gradient of a convex function (Gribonval and Nikolova 2020), see `lpn.certificate`.

    Args:
        model: the network. It stays as it is.
        images: the points; 16 are enough. Of images that are larger than the network's it takes the centres.
        settings: lanczos_steps, inversion_tolerance and seed of `lpn.certificate.CertificateSettings`.
    """
    if given := settings.keys() & {"points", "side"}:
        raise ValueError(f"{sorted(given)[0]} can't be given here: the images are the points, and the network has its size.")
    chosen = _validated(CertificateSettings, settings, "settings")
    x = Batch(images, model).x
    side = model.input_shape[-1]
    points = centre(x, side) if x.dim() == 4 and side else x
    return _certify(model, points, **chosen.model_dump(exclude={"points", "side"}))


def make_operator(settings: Mapping[str, Any] | str, shape: tuple[int, ...], seed: int = 0) -> LinearOperator:
    """Return the measurement operator A of images of shape (C, H, W).

    `A(x)` measures a tensor (N, C, H, W), and `A.adjoint(y)` applies the transpose.

    Args:
        settings: name and settings of an operator as docs/settings.md lists them, e.g. {"name": "blur", "sigma": 1.0}.
        shape: of an image.
        seed: from which random operators are drawn.

    Raises ValueError for settings that do not fit, and UserError if a file or a package is missing.
    """
    chosen = _validated(Annotated[OperatorSettings, Choice("operator")], settings, "operator")
    return build_operator(chosen, tuple(shape), seed)


def reconstruct(
    model: LPN,
    operator: LinearOperator,
    measurements: Array,
    *,
    scale: float = 0.5,
    solver: Mapping[str, Any] | str | None = None,
    iterations: int = 20,
) -> Array:
    """Return images x, (N, C, H, W), of which y = A x + noise was measured: a minimiser of  s ||A x - y||^2 + w R(x).

    Args:
        model: the network, the proximal operator of R.
        operator: A, from `make_operator` or any other `lpn.operators.LinearOperator`.
        measurements: y, float32 or float64 (N, *operator.output_shape), or without N for a single image.
        scale: s.
        solver: name and settings of the algorithm as docs/settings.md lists them, by default {"name": "admm", "rho": 0.1}.
        iterations: number of iterations.

    The defaults are those of the LPN paper's deblurring (section 5), where ||A|| = 1; w is ADMM's rho. It starts at A^T y,
    or what the operator has in its place. Raises ValueError for settings that do not fit, and if an iterate is not finite.
    """
    from lpn.experiment import Method, iterates
    from lpn.solvers import Problem

    given = Batch(measurements, model, operator.output_shape)
    settings = {"solver": solver or {"name": "admm", "rho": 0.1}, "prox": {"model": "the given one"}}
    method = _validated(Method, settings | {"scale": scale, "iterations": iterations}, "")
    with torch.no_grad():
        start = x = operator.initial(given.x)
        prox = ExactProx(_network(model, start.dtype, start))
        for iterate in iterates(method, Problem(operator, given.x, scale), prox, start):
            x = iterate.x
    return given.back(x)


def train(
    images: np.ndarray | Tensor,
    *,
    sigma: float = 0.1,
    network: Mapping[str, Any] | str | None = None,
    steps: int = 2000,
    batch_size: int = 32,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[dict[str, Any]], None] = lambda record: None,
) -> LPN:
    """Train a learned proximal network on images and return it.

    The first half of the steps has the l1 loss. The second half has the proximal matching loss, whose gamma falls to 0.08
    times the square root of the number of entries (LPN paper, section 3.2). The paper takes 40,000 steps.

    Args:
        images: clean images (N, C, H, W), at least as many as a batch has.
        sigma: standard deviation of the noise that the network learns to remove.
        network: name and settings of the network as docs/settings.md lists them. The default is the paper's for images of
            28x28, else a small `lpn_patch` that is trained on random patches.
        steps: number of steps, at least 8.
        batch_size: images, or patches, of a step.
        seed: of weights, data order, patches and noise. The caller's own random numbers stay as they are.
        device: as for `load_model`.
        progress: is called every 100 steps with a record (step, loss, lr, ...); `print` will do.

    Raises ValueError for settings that do not fit, and `lpn.training.trainer.DivergenceError` if the loss is not finite.
    """
    from lpn.training.job import TrainSpec, make_trainer
    from lpn.training.shard import WHOLE

    clean = _clean_images(images)
    matching = {"name": "proximal_matching", "gamma": [0.64, 0.32, 0.16, 0.08]}
    phases = [
        {"loss": "l1", "steps": steps - steps // 2, "lr": 6e-3, "final_lr": 3e-4},
        {"loss": matching, "steps": steps // 2, "lr": 1e-4},
    ]
    settings = {"network": network or _default_network(clean.shape[1:]), "phases": phases}
    spec = _validated(TrainSpec, settings | {"sigma": sigma, "seed": seed, "batch_size": batch_size}, "")
    if spec.network.role != "lpn":
        raise ValueError(f"the network '{spec.network.name}' is not a learned proximal network: take another one.")
    with torch.random.fork_rng():
        trainer = make_trainer(spec, clean, None, find_device(device), WHOLE)
    while trainer.step_count < trainer.total_steps:
        trainer.losses.append(trainer.step())
        if trainer.step_count % 100 == 0 or trainer.step_count == trainer.total_steps:
            progress(trainer.finish_interval())
    assert isinstance(trainer.model, LPN)
    return trainer.model.eval().requires_grad_(False)


def _default_network(shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the settings of a network for images of shape (C, H, W)."""
    channels, height, width = shape
    if height == width == 28:
        return {"name": "lpn_28", "channels": channels}
    size = max(8, min(32, height // 8 * 8, width // 8 * 8))
    return {"name": "lpn_patch", "channels": channels, "size": size, "hidden": 32, "beta": 10.0, "alpha": 0.03}


def _validated(kind: Any, values: Mapping[str, Any] | str, place: str) -> Any:
    """Return the settings of a type. Raises ValueError with a sentence for each fault; `place` is where they stand."""
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise ValueError(" ".join(sentences(error, place))) from None


def _network(model: LPN, dtype: torch.dtype, images: Tensor) -> LPN:
    """Return the network in a float dtype, for images (N, ...) of any size."""
    same = next(model.parameters()).dtype == dtype
    # the uniform average over patches has all that an LPN has
    return cast("LPN", whole(model if same else copy.deepcopy(model).to(dtype), tuple(images.shape[1:])))


def _clean_images(images: np.ndarray | Tensor) -> np.ndarray:
    """Return images for training, uint8 or float32 (N, C, H, W)."""
    x = as_tensor(images)
    if x.dim() != 4:
        raise ValueError(
            f"training images have the axes (N, C, H, W), but these are {tuple(x.shape)}: add the axes of length 1."
        )
    if x.shape[1] > 4 >= x.shape[3]:
        raise ValueError(
            f"training images have the axes (N, C, H, W), but these are {tuple(x.shape)}: put the channels first."
        )
    if x.min() < 0 or x.max() > 1:
        raise ValueError(
            f"training images are in [0, 1], but these have values from {x.min():g} to {x.max():g}: scale them."
        )
    return x.float().cpu().numpy()
