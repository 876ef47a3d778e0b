"""Reconstruct images from their measurements by one method, and record every iteration.

Writes, per image, the PSNR and SSIM of the result (--images), the same and the residuals, data term, exact regulariser and
objective of every iteration (--iterations; 0 is the start), and the reconstructions (--arrays). Measurements hold arrays
(images, channels, height, width): y; start, where the solver begins; observed, what "solver": "observation" shows; and x,
the truth, without which there are no PSNR and SSIM.

example:
  python scripts/reconstruct.py --measurement m.npz --model results/demo/models/celeba_0.1/model.pt --images images.csv
      --iterations iterations.csv --arrays x.npz --spec '{"operator": {"name": "blur", "sigma": 1.0}, "seed": 0, "first": 0,
      "clip": false, "method": {"solver": "admm", "prox": {}, "rho": 0.1, "scale": 0.5, "iterations": 20}}'
"""

import copy
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _cli import add_device, add_threads, parser, read_spec, setup_compute, use_bf16
from torch import Tensor
from tqdm import tqdm

from lpn.checkpoints import load_model
from lpn.denoisers import build_denoiser
from lpn.errors import UserError, run_cli
from lpn.files import atomic_path
from lpn.metrics import psnr, ssim
from lpn.networks import LPN, Denoiser
from lpn.operators import LinearOperator, build_operator
from lpn.patches import PatchLPN
from lpn.solvers import SOLVERS, ExactProx, Iterate, Problem, box, pdhg_step, total_variation, until

PROBLEM_KEYS = ("scale", "tolerance", "cg_iterations")
ARRAYS = ("y", "start", "observed")  # and the truth x, where it is known


class DivergenceError(UserError):
    """An iterate is not finite."""


def read_measurement(path: str) -> dict[str, np.ndarray]:
    """Read the file of scripts/measure.py. Raises UserError where it is damaged, incomplete, or not finite."""
    remedy = "Delete it; the pipeline makes it anew."
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            measurement = dict(file)
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} can't be read as measurements ({error}). {remedy}") from error
    for name in [*ARRAYS, *({"x"} & measurement.keys())]:
        if name not in measurement:
            raise UserError(f"{path} lacks the array {name}; measurements hold {', '.join(ARRAYS)}. {remedy}")
        if not np.isfinite(measurement[name]).all():
            raise UserError(f"the array {name} of {path} holds NaN or infinite values. {remedy}")
    return measurement


def overlay(method: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the method with parameters such as {"rho": 0.1, "prox.weight": 0.02} set."""
    method = copy.deepcopy(method)
    for key, value in parameters.items():
        *parents, name = key.split(".")
        place = method
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return method


def make_prox(
    config: dict[str, Any], model: str | None, shape: tuple[int, ...], device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Return the denoiser of a method; `shape` (C, H, W) is that of the images."""
    if model is None and "model" in config:
        raise UserError(f"the method's denoiser is the model {config['model']!r}: name its file by --model.")
    config = {key: value for key, value in config.items() if key != "model"}
    if config.pop("clip", False):
        unclipped = make_prox(config, model, shape, device)
        return lambda v: unclipped(v).clamp_(0, 1)
    if model is None:
        return build_denoiser(config)
    network = load_model(model).to(device, memory_format=torch.channels_last)
    if len(network.input_shape) != len(shape) or network.input_shape[0] != shape[0]:
        raise UserError(
            f"{model} takes inputs of shape {network.input_shape} (None: any); the images of this problem have {shape}."
        )
    own = {"mode", "stride", "strength"} if isinstance(network, LPN) else {"precision"}
    if foreign := sorted(config.keys() - own):
        raise UserError(f"the method's denoiser {model} has no keys {', '.join(foreign)}, only {', '.join(sorted(own))}.")
    if not isinstance(network, LPN):
        return in_bf16(network) if use_bf16(config, device) else network
    strength = config.get("strength", 1.0)
    if network.input_shape == shape:
        return ExactProx(network, strength)
    patches = PatchLPN(network, config.get("mode", "exact"), config.get("stride"))
    if patches.mode == "paper" and strength != 1:
        raise UserError("config key 'prox.strength' is for learned proximal networks in exact mode alone.")
    return ExactProx(patches, strength) if patches.mode == "exact" else patches


def in_bf16(network: Denoiser) -> Callable[[Tensor], Tensor]:
    """Return the network with its convolutions in bfloat16, whose result has the precision of its input."""

    def denoise(v: Tensor) -> Tensor:
        with torch.autocast(v.device.type, torch.bfloat16):
            return network(v).to(v)

    return denoise


def start_solver(
    method: dict[str, Any], operator: LinearOperator, y: Tensor, start: Tensor, prox: Callable[[Tensor], Tensor]
) -> tuple[Problem, Any, float | None]:
    """Return the problem, the solver's iterates, and the weight w of the regulariser in the objective, if it has one."""
    options = {key: value for key, value in method.items() if key not in ("solver", "prox", "iterations", "stop")}
    if options.pop("box", False):
        options["splits"] = (box,)
    try:
        problem = Problem(operator, y, **{key: options.pop(key) for key in PROBLEM_KEYS if key in options})
        if method["solver"] == "pgd":
            options.setdefault("step", 0.99 / (2 * problem.scale * operator.norm**2))
        elif method["solver"] == "pdhg":
            options.setdefault("step", pdhg_step(operator, options.get("dual_step", 1.0), options.get("tv", 0.0)))
        iterates = SOLVERS[method["solver"]](problem, prox, start, **options)
    except TypeError as error:
        raise UserError(f"the method's keys do not fit the solver {method['solver']}: {error}.") from error
    iterates = until(iterates, method["stop"]) if "stop" in method else iterates
    weights = {"admm": lambda: options["rho"], "gradient_step": lambda: None}
    return problem, iterates, weights.get(method["solver"], lambda: 1 / options["step"])()


def describe(
    iterate: Iterate, problem: Problem, prox: Callable[[Tensor], Tensor], weight: float | None, tv: float
) -> dict[str, np.ndarray]:
    """Return what is recorded of an iteration besides the image quality, one value an image.

    `weight` is that of the regulariser in the objective, `tv` that of the total variation, which the data term includes. The
    regulariser and the objective are those of z, where the regulariser is known (a box has no share in it); the data term
    is that of x.
    """

    def data_term(x: Tensor) -> Tensor:
        return problem.data_term(x) + (tv * total_variation(x) if tv else 0)

    values = {"primal": iterate.primal, "dual": iterate.dual, "cg_iterations": iterate.cg_iterations}
    values["data_term"] = data_term(iterate.x)
    if isinstance(prox, ExactProx):
        values["regulariser"] = prox.regulariser
    if isinstance(prox, ExactProx) and weight:
        values["objective"] = data_term(iterate.z).double() + weight * values["regulariser"]
    return {name: value.double().cpu().numpy() for name, value in values.items()}


def quality(x: Tensor, truth: np.ndarray, spec: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return PSNR and SSIM of each image, without the border and channel by channel where the spec says so.

    Raises UserError where the border leaves less of the images than the SSIM's window of 7x7 pixels.
    """
    border = spec.get("border", 0)
    if min(truth.shape[-2:]) - 2 * border < 7:
        raise UserError(f"config key 'border' is {border}: it leaves less than 7x7 pixels of images of {truth.shape[-2:]}.")
    inside = (..., slice(border, truth.shape[-2] - border), slice(border, truth.shape[-1] - border))
    images, truth = x.float().cpu().numpy()[inside], truth[inside]
    return {"psnr": psnr(images, truth, spec.get("channelwise", False)), "ssim": ssim(images, truth)}


def iterations(
    spec: dict[str, Any], measurement: dict[str, np.ndarray], model: str | None, device: torch.device
) -> Iterator[tuple[Tensor, Callable[[], dict[str, np.ndarray]]]]:
    """Yield the image of every iteration of the spec's method, and a function that describes it besides its quality.

    Raises UserError for a method that lacks keys, or does not fit the measurements or the model, and DivergenceError when
    an iterate is not finite.
    """
    method = spec["method"]
    if method.get("solver") not in SOLVERS:
        raise UserError(f"config key 'solver' is {method.get('solver')!r}, not one of observation, {', '.join(SOLVERS)}.")
    if missing := {"prox", "iterations"} - method.keys():
        raise UserError(f"the method lacks the keys {', '.join(sorted(missing))}, which {method['solver']} needs.")
    if method["iterations"] < 1:
        raise UserError(f"config key 'iterations' is {method['iterations']}; at least 1 is needed.")
    y, start = (torch.from_numpy(measurement[name]).to(device) for name in ("y", "start"))
    operator = build_operator(spec["operator"], tuple(start.shape[1:]), spec["seed"])
    drawn = all(np.array_equal(measurement.get(name), array) for name, array in operator.arrays().items())
    if y.shape[1:] != operator.output_shape or not drawn:
        raise UserError(
            f"measurements of shape {tuple(y.shape[1:])} don't fit the operator {spec['operator']} of seed {spec['seed']}, "
            f"which gives {operator.output_shape}. Give the operator and the seed that they were made with."
        )
    prox = make_prox(method["prox"], model, tuple(start.shape[1:]), device)
    problem, iterates, weight = start_solver(method, operator, y, start, prox)
    steps = tqdm(islice(iterates, method["iterations"]), total=method["iterations"], unit="iteration", mininterval=5)
    for number, iterate in enumerate(steps, 1):
        if not (iterate.x + iterate.z).isfinite().all():
            raise DivergenceError(f"the method diverged: iterate {number} is not finite. Lower 'scale', or raise 'rho'.")
        x = iterate.x.clamp(0, 1) if spec["clip"] else iterate.x
        yield x, partial(describe, iterate, problem, prox, weight, method.get("tv", 0.0))


def reconstruct(
    spec: dict[str, Any], measurement: dict[str, np.ndarray], model: str | None, device: torch.device
) -> tuple[Tensor, pd.DataFrame]:
    """Run the method; return the reconstructions and a row for each image and iteration. Raises as `iterations` does.

    Iteration 0 is where the solver starts: an image without residuals and objective. Without the truth there are no PSNR and
    SSIM.
    """
    truth = measurement.get("x")
    images = spec["first"] + np.arange(len(measurement["y"]))

    def row(number: int, x: Tensor, description: dict[str, np.ndarray]) -> pd.DataFrame:
        scores = {} if truth is None else quality(x, truth, spec)
        return pd.DataFrame({"image": images, "iteration": number} | scores | description)

    observation = spec["method"].get("solver") == "observation"
    x = torch.from_numpy(measurement["observed" if observation else "start"])
    x = x.clamp(0, 1) if spec["clip"] else x
    rows = [row(0, x, {})]
    if not observation:
        for number, (x, description) in enumerate(iterations(spec, measurement, model, device), 1):
            rows.append(row(number, x, description()))
    return x, pd.concat(rows)


def summarise(iterations: pd.DataFrame, tuned: dict[str, float]) -> pd.DataFrame:
    """Return one row an image.

    It has the number of the last iterate and, where the truth is known, its quality and the best PSNR of all with its
    iteration; and the method's tuned parameters in words.
    """
    last = iterations[iterations.iteration == iterations.iteration.max()].set_index("image")
    images = last[["iteration"]]
    if "psnr" in last:
        best = iterations.set_index("iteration").groupby("image").psnr
        images = last[["psnr", "ssim", "iteration"]].assign(best_psnr=best.max(), best_iteration=best.idxmax())
    return images.assign(tuned=", ".join(f"{key} {value:g}" for key, value in tuned.items())).reset_index()


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="operator, seed, first, clip, border, channelwise, method")
    arguments.add_argument(
        "--measurement",
        required=True,
        help=".npz file of scripts/measure.py, or your own: y, start, observed, and x if known",
    )
    arguments.add_argument("--model", help="model.pt, for methods with a learned denoiser")
    arguments.add_argument("--tuned", type=Path, help="JSON file of scripts/choose.py: parameters of the method")
    arguments.add_argument("--images", required=True, help="CSV file, a row an image")
    arguments.add_argument("--iterations", required=True, help="CSV file, a row an image and iteration")
    arguments.add_argument("--arrays", required=True, help=".npz file of the reconstructions")
    add_threads(arguments)
    add_device(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec, "operator", "seed", "first", "clip", "method")
    tuned = read_spec(str(args.tuned), "parameters")["parameters"] if args.tuned else {}
    spec["method"] = overlay(spec["method"], tuned)
    device = setup_compute(args.threads, args.device)
    with torch.no_grad():
        x, record = reconstruct(spec, read_measurement(args.measurement), args.model, device)
    with atomic_path(args.arrays, suffix=".npz") as temporary:
        np.savez_compressed(temporary, x=x.float().cpu().numpy())
    for path, table in {args.images: summarise(record, tuned), args.iterations: record}.items():
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.9g")


if __name__ == "__main__":
    run_cli(main)
