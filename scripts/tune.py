"""Score points of a method's parameter grid: the mean PSNR of its last iterates over validation images.

Writes a list of {"parameters": the point, "psnr": its score, or null where the method diverged}; scripts/choose.py takes it.

example:
  python scripts/tune.py --measurement m.npz --output scores.json --spec '{"operator": {"name": "blur", "sigma": 1.0},
      "seed": 0, "clip": false, "method": {"solver": "admm", "prox": {"name": "tv", "weight": 0.1}, "rho": 0.1, "scale": 0.5,
      "iterations": 20}, "points": [{"rho": 0.1}, {"rho": 0.2}]}'
"""

import math
from typing import Any

import numpy as np
import torch
from _cli import add_device, add_threads, parser, read_spec, setup_compute
from reconstruct import DivergenceError, iterations, overlay, quality, read_measurement

from lpn.errors import UserError, run_cli
from lpn.files import write_json


def score(spec: dict[str, Any], measurement: dict[str, np.ndarray], model: str | None, device: torch.device) -> float | None:
    """Return the mean PSNR (dB) of the spec's method, None where it diverges: where an iterate or the PSNR is not finite."""
    try:
        for x, _ in iterations(spec, measurement, model, device):
            last = x
    except DivergenceError:
        return None
    with np.errstate(all="ignore"):  # iterates that are finite may have squares that are not
        psnr = float(quality(last, measurement["x"], spec)["psnr"].mean())
    return psnr if math.isfinite(psnr) else None


def main() -> None:
    arguments = parser(__doc__)
    settings = "operator, seed, clip, border, channelwise, method, and the points: parameters that override the method's"
    arguments.add_argument("--spec", required=True, help=settings)
    arguments.add_argument("--measurement", required=True, help=".npz file of scripts/measure.py")
    arguments.add_argument("--model", help="model.pt, for methods with a learned denoiser")
    arguments.add_argument("--output", required=True, help="JSON file of the scores")
    add_threads(arguments)
    add_device(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec, "operator", "seed", "clip", "method", "points")
    device = setup_compute(args.threads, args.device)
    measurement, scores = read_measurement(args.measurement), []
    if "x" not in measurement:
        raise UserError(f"{args.measurement} lacks the array x, the truth, without which no PSNR can be had to search by.")
    with torch.no_grad():
        for point in spec["points"]:
            method = overlay(spec["method"], point)
            scores.append({"parameters": point, "psnr": score(spec | {"method": method}, measurement, args.model, device)})
    write_json(args.output, scores)


if __name__ == "__main__":
    run_cli(main)
