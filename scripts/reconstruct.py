"""Reconstruct images from their measurements by one method, and record every iteration.

Writes, per image, the PSNR and SSIM of the result (--images), the same and the residuals, data term, exact regulariser and
objective of every iteration (--iterations), and the reconstructions (--arrays). Without --arrays only --images is
written, as a grid search needs it.

example:
  python scripts/reconstruct.py --measurement m.npz --model results/demo/models/face/model.pt --images images.csv
      --iterations iterations.csv --arrays x.npz --spec '{"operator": {"name": "blur", "sigma": 1.0}, "seed": 0, "first": 0,
      "clip": false, "method": {"solver": "admm", "prox": {"name": "lpn"}, "rho": 0.1, "scale": 0.5, "iterations": 20}}'
"""

import copy
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _cli import add_device, add_threads, parser, read_spec, setup_compute
from torch import Tensor
from tqdm import tqdm

from lpn.checkpoints import load_model
from lpn.denoisers import build_denoiser
from lpn.errors import UserError, run_cli
from lpn.files import atomic_path
from lpn.metrics import psnr, ssim
from lpn.networks import LPN
from lpn.operators import LinearOperator, build_operator
from lpn.patches import PatchLPN
from lpn.solvers import SOLVERS, ExactProx, Iterate, Problem, box

PROBLEM_KEYS = ("scale", "tolerance", "cg_iterations")


def overlay(method: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the method with parameters such as {"rho": 0.1, "prox.weight": 0.02} set."""
    method = copy.deepcopy(method)
    for key, value in parameters.items():
        *parents, name = key.split(".")
        place = method
        for parent in parents:
            place = place[parent]
        place[name] = value
    return method


def make_prox(
    config: dict[str, Any], model: str | None, shape: tuple[int, ...], device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Return the denoiser of a method; `shape` (C, H, W) is that of the images."""
    config = {key: value for key, value in config.items() if key != "model"}
    if model is None:
        return build_denoiser(config)
    network = load_model(model).to(device, memory_format=torch.channels_last)
    if network.input_shape[0] != shape[0]:
        raise UserError(f"{model} takes images of {network.input_shape[0]} channels; those of this problem have {shape[0]}.")
    if not isinstance(network, LPN):
        return network
    if network.input_shape == shape:
        return ExactProx(network)
    patches = PatchLPN(network, config.get("mode", "exact"), config.get("stride"))
    return ExactProx(patches) if patches.mode == "exact" else patches


def start_solver(
    method: dict[str, Any], operator: LinearOperator, y: Tensor, start: Tensor, prox: Callable[[Tensor], Tensor]
) -> tuple[Problem, Any, float]:
    """Return the problem, the solver's iterates, and the weight w of the regulariser in the objective."""
    options = {key: value for key, value in method.items() if key not in ("solver", "prox", "iterations")}
    problem = Problem(operator, y, **{key: options.pop(key) for key in PROBLEM_KEYS if key in options})
    if options.pop("box", False):
        options["splits"] = (box,)
    if method["solver"] == "pgd":
        options.setdefault("step", 0.99 / (2 * problem.scale * operator.norm**2))
    try:
        iterates = SOLVERS[method["solver"]](problem, prox, start, **options)
    except TypeError as error:
        raise UserError(f"the method's keys do not fit the solver {method['solver']}: {error}.") from error
    return problem, iterates, options["rho"] if "rho" in options else 1 / options["step"]


def describe(
    iterate: Iterate, problem: Problem, prox: Callable[[Tensor], Tensor], weight: float
) -> dict[str, np.ndarray]:
    """Return what is recorded of an iteration besides the image quality, one value an image."""
    values = {"primal": iterate.primal, "dual": iterate.dual, "cg_iterations": iterate.cg_iterations}
    values["data_term"] = problem.data_term(iterate.x)
    if isinstance(prox, ExactProx):
        values["regulariser"] = prox.regulariser
        values["objective"] = values["data_term"].double() + weight * values["regulariser"]
    return {name: value.double().cpu().numpy() for name, value in values.items()}


def quality(x: Tensor, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Return PSNR and SSIM of each image."""
    images = x.float().cpu().numpy()
    return {"psnr": psnr(images, truth), "ssim": ssim(images, truth)}


def reconstruct(
    spec: dict[str, Any], measurement: dict[str, np.ndarray], model: str | None, device: torch.device, detailed: bool
) -> tuple[Tensor, pd.DataFrame]:
    """Run the method; return the reconstructions and a row for each image and iteration (only the last if not detailed)."""
    truth, method = measurement["x"], spec["method"]
    y, x = (torch.from_numpy(measurement[name]).to(device) for name in ("y", "start"))
    images = spec["first"] + np.arange(len(x))
    if method["solver"] == "observation":
        x = torch.from_numpy(measurement["observed"])
        x = x.clamp(0, 1) if spec["clip"] else x
        return x, pd.DataFrame({"image": images, "iteration": 0} | quality(x, truth))
    operator = build_operator(spec["operator"], tuple(x.shape[1:]), spec["seed"])
    prox = make_prox(method["prox"], model, tuple(x.shape[1:]), device)
    problem, iterates, weight = start_solver(method, operator, y, x, prox)
    rows = []
    steps = tqdm(islice(iterates, method["iterations"]), total=method["iterations"], unit="iteration", mininterval=5)
    for number, iterate in enumerate(steps, 1):
        if not iterate.x.isfinite().all():
            raise UserError(f"the method diverged: iterate {number} is not finite. Lower 'scale', or raise 'rho'.")
        x = iterate.x.clamp(0, 1) if spec["clip"] else iterate.x
        if detailed or number == method["iterations"]:
            row = {"image": images, "iteration": number} | quality(x, truth)
            rows.append(pd.DataFrame(row | (describe(iterate, problem, prox, weight) if detailed else {})))
    return x, pd.concat(rows)


def summarise(iterations: pd.DataFrame) -> pd.DataFrame:
    """Return one row an image: the quality of the last iterate, and the best PSNR of all with its iteration."""
    last = iterations[iterations.iteration == iterations.iteration.max()].set_index("image")
    best = iterations.set_index("iteration").groupby("image").psnr
    return last[["psnr", "ssim"]].assign(best_psnr=best.max(), best_iteration=best.idxmax()).reset_index()


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="operator, seed, first, clip, method; parameters to override it with")
    arguments.add_argument("--measurement", required=True, help=".npz file of scripts/measure.py")
    arguments.add_argument("--model", help="model.pt, for methods with a learned denoiser")
    arguments.add_argument("--tuned", type=Path, help="JSON file of scripts/choose.py, which overrides the method's settings")
    arguments.add_argument("--images", required=True, help="CSV file, a row an image")
    arguments.add_argument("--iterations", help="CSV file, a row an image and iteration")
    arguments.add_argument("--arrays", help=".npz file of the reconstructions")
    add_threads(arguments)
    add_device(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec)
    chosen = json.loads(args.tuned.read_text())["parameters"] if args.tuned else {}
    spec["method"] = overlay(spec["method"], spec.get("parameters", {}) | chosen)
    device = setup_compute(args.threads, args.device)
    with np.load(args.measurement, allow_pickle=False) as file:
        measurement = {name: file[name] for name in ("x", "y", "start", "observed")}
    with torch.no_grad():
        x, iterations = reconstruct(spec, measurement, args.model, device, detailed=args.arrays is not None)
    tables = {args.images: summarise(iterations), args.iterations: iterations}
    if args.arrays:
        with atomic_path(args.arrays, suffix=".npz") as temporary:
            np.savez_compressed(temporary, x=x.float().cpu().numpy())
    for path, table in tables.items():
        if path:
            with atomic_path(path) as temporary:
                table.to_csv(temporary, index=False, float_format="%.9g")


if __name__ == "__main__":
    run_cli(main)
