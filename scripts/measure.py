"""Simulate the measurements of an inverse problem, y = A x + noise, for some images of a prepared data set.

Writes .npz (no pickles): the images x, the measurements y, the algorithms' start, the observation as an image, and the
arrays of a random operator. The noise of image i depends on the seed, the split and i alone. With "crop" in the spec only
the centres of the images are taken, squares of that side.

example:
  python scripts/measure.py --data data/prepared/celeba --output measurement.npz --spec '{"split": "test", "first": 0,
      "images": 20, "operator": {"name": "blur", "sigma": 1.0}, "noise": 0.02, "seed": 0}'
"""

import math
from pathlib import Path

import numpy as np
import torch
from _cli import add_threads, parser, read_spec, setup_compute

from lpn.data import centre, read_images, to_tensor
from lpn.errors import UserError, run_cli
from lpn.files import atomic_path
from lpn.operators import build_operator
from lpn.seeds import numpy_generator


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="split, first, images, crop, operator, noise, seed")
    arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared data set")
    arguments.add_argument("--output", required=True, help=".npz file to write")
    add_threads(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec, "split", "first", "images", "operator", "noise", "seed")
    if not 0 <= spec["noise"] < math.inf:
        raise UserError(f"config key 'noise' is {spec['noise']}; it must be finite and not negative.")
    setup_compute(args.threads, "cpu")
    stop = spec["first"] + spec["images"]
    x = to_tensor(read_images(args.data / f"{spec['split']}.npy", spec["first"], spec["images"]))
    x = centre(x, spec["crop"], "'tuning.crop'") if spec.get("crop") else x
    operator = build_operator(spec["operator"], tuple(x.shape[1:]), spec["seed"])
    clean = operator(x)
    shape = clean.shape[1:]
    draws = [numpy_generator(spec["seed"], "noise", spec["split"], i) for i in range(spec["first"], stop)]
    noise = [draw.standard_normal(shape) for draw in draws]
    y = clean + spec["noise"] * torch.from_numpy(np.stack(noise)).float()
    with atomic_path(args.output, suffix=".npz") as temporary:
        np.savez(temporary, x=x, y=y, start=operator.initial(y), observed=operator.observed(y), **operator.arrays())


if __name__ == "__main__":
    run_cli(main)
