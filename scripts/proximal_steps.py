"""Repeat proximal steps z_{k+1} = f(z_k) from noisy test images, in float64, and evaluate the learned prior at each z_k.

As f is the proximal operator of R,  R(z_{k+1}) + 1/2 ||z_{k+1} - z_k||^2 <= R(z_k):  R falls. It needs no inversion, because
z_{k+1} comes with its inverse z_k; R(z_0), of the noisy image, is not known. Networks of patches become those of the image.

Writes R as CSV (a row for each step and image; not shifted), and the images z_k as .npz: images [step, image].

example:
  python scripts/proximal_steps.py --model results/demo/models/mnist_small/model.pt --data data/prepared/mnist
      --spec '{"model": "mnist_small", "images": [0, 4], "noise": 0.3, "seed": 0, "steps": [0, 1, 2, 5]}' --output steps.csv
      --arrays steps.npz
"""

from itertools import islice

import numpy as np
import pandas as pd
import torch
from _cli import as_user_errors, run_job
from _priors import read_arguments
from pydantic import Field, NonNegativeInt, PositiveFloat
from tqdm import tqdm

from lpn.denoisers import ExactProx, whole
from lpn.files import atomic_path
from lpn.images import read_images, to_tensor
from lpn.seeds import torch_generator
from lpn.settings import Settings


class StepsSpec(Settings):
    """Repeated proximal steps."""

    model: str = Field(description="name of the model, for the column model")
    images: list[NonNegativeInt] = Field(min_length=1, description="numbers of the test images")
    noise: PositiveFloat = Field(description="standard deviation of the noise of z_0")
    seed: int = Field(description="seed of the noise")
    steps: list[NonNegativeInt] = Field(min_length=1, description="the steps k to write")


def main() -> None:
    args, spec, model, device = read_arguments(__doc__, StepsSpec)
    path = args.data / "test.npy"
    clean = to_tensor(np.concatenate([read_images(path, number, 1) for number in spec.images])).double()
    noise = torch.randn(clean.shape, generator=torch_generator(spec.seed, "steps"), dtype=torch.float64)
    start = (clean + spec.noise * noise).to(device)
    last = max(spec.steps)
    with as_user_errors(f"{path}: "), torch.no_grad():
        steps = ExactProx(whole(model, tuple(start.shape[1:]))).steps(start)
        found = [(start, torch.full((len(start),), torch.nan)), *tqdm(islice(steps, last), total=last, unit="step")]
    prior = pd.concat(
        pd.DataFrame({"perturbation": "steps", "level": k, "image": spec.images, "regulariser": found[k][1].cpu()})
        for k in spec.steps
    )
    prior.insert(0, "model", spec.model)
    with atomic_path(args.arrays, suffix=".npz") as temporary:
        np.savez_compressed(temporary, images=np.stack([found[k][0].cpu().numpy() for k in spec.steps]))
    with atomic_path(args.output) as temporary:
        prior.to_csv(temporary, index=False, float_format="%.9g")


if __name__ == "__main__":
    run_job(main)
