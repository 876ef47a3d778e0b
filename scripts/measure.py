"""Simulate the measurements of an inverse problem, y = A x + noise, for some images of a prepared data set.

Writes .npz (no pickles): the images x, the measurements y, the algorithms' start, the observation as
an image, and the arrays of a random operator. The
noise of image i depends on the seed and i alone.

example:
  python scripts/measure.py --data data/prepared/celeba --output measurement.npz --spec '{"split": "test", "first": 0,
      "images": 20, "operator": {"name": "blur", "sigma": 1.0}, "noise": 0.02, "seed": 0}'
"""

from pathlib import Path

import numpy as np
import torch
from _cli import add_threads, parser, read_spec, setup_compute

from lpn.data import load_images, to_tensor
from lpn.errors import UserError, run_cli
from lpn.files import atomic_path
from lpn.operators import CompressedSensing, build_operator
from lpn.seeds import numpy_generator


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="split, first, images, operator, noise, seed")
    arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared data set")
    arguments.add_argument("--output", required=True, help=".npz file to write")
    add_threads(arguments)
    args = arguments.parse_args()
    spec = read_spec(args.spec)
    setup_compute(args.threads, "cpu")
    path = args.data / f"{spec['split']}.npy"
    images = load_images(path)
    stop = spec["first"] + spec["images"]
    if stop > len(images):
        raise UserError(f"config key 'images': images up to {stop} are asked for, but {path} has only {len(images)}.")
    x = to_tensor(images[spec["first"] : stop])
    operator = build_operator(spec["operator"], tuple(x.shape[1:]), spec["seed"])
    clean = operator(x)
    shape = clean.shape[1:]
    noise = [numpy_generator(spec["seed"], "noise", spec["split"], i).standard_normal(shape) for i in range(spec["first"], stop)]
    y = clean + spec["noise"] * torch.from_numpy(np.stack(noise)).float()
    arrays = operator.arrays() if isinstance(operator, CompressedSensing) else {}
    with atomic_path(args.output, suffix=".npz") as temporary:
        np.savez(temporary, x=x, y=y, start=operator.initial(y), observed=operator.observed(y), **arrays)


if __name__ == "__main__":
    run_cli(main)
