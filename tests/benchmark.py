"""Time ours beside the plain formulation, in one run: medians of several interleaved repetitions, and ratios.

  mnist_step       a training step of the 28x28 network (h=64, batch 200): explicit gradient in bf16 and in fp32,
                   beside autograd inside autograd in eager fp32; and the peak memory of each, in a process of its own
  laplacian        1,000 training steps of the 1-D network (batch 2000), beside autograd inside autograd, on one thread as
                   in the pipeline
  checkpoints      saving the state of a training, beside the time between two checkpoints
  prior            inversion of 100 images at once, beside one SciPy `fmin_cg` call an image, to the same residual

examples:
  python tests/benchmark.py
  python tests/benchmark.py prior --threads 2 --output bench.json
"""

import argparse
import copy
import inspect
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reference import plain_prox
from torch import Tensor

from lpn.data import laplace_batches
from lpn.errors import run_cli
from lpn.files import write_json
from lpn.losses import LOSSES
from lpn.networks import LPN, build_network
from lpn.prior import invert
from lpn.seeds import torch_generator
from lpn.training import Checkpoints, Trainer, make_schedule, train

MNIST_VARIANTS = ("explicit, bf16", "explicit, fp32", "autograd in autograd, fp32")


class PlainTrainer(Trainer):
    """The usual loop: autograd inside autograd, Adam as it comes, weights clipped one by one, every loss read."""

    def __init__(self, model: LPN, *args: Any, **options: Any) -> None:
        super().__init__(model, *args, **options)
        self.model = model.to(memory_format=torch.contiguous_format)
        self.f = plain_prox(model)
        self.optimizer = torch.optim.Adam(model.parameters())

    def step(self) -> Tensor:
        """Take one step and wait for its loss."""
        clean = self.batches(self.step_count)
        generator = torch_generator(self.seed, "noise", self.step_count)
        noise = torch.randn(clean.shape, generator=generator)
        loss = LOSSES[self.stages[0].loss](self.f(clean + self.sigma * noise) - clean, 0.0)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        for layer in self.model.lin[1:]:
            layer.weight.data.clamp_(0)
        self.step_count += 1
        loss.item()
        return loss.detach()


def mnist_trainer(variant: str) -> Trainer:
    """Return a trainer of the paper's MNIST network on made images."""
    torch.manual_seed(0)
    model = build_network({"name": "lpn_28"})
    images = torch.rand(200, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    kind = PlainTrainer if variant.startswith("autograd") else Trainer
    stages = make_schedule([{"loss": "l1", "steps": 10**6, "lr": 1e-3}], 784)
    return kind(model, lambda step: images, stages, sigma=0.1, seed=0, bf16=variant.endswith("bf16"))


def interleaved(jobs: dict[str, Callable[[], Any]], repetitions: int, warm_up: int = 1) -> dict[str, float]:
    """Return the median seconds of each job, run in turns after `warm_up` unmeasured turns."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for repetition in range(-warm_up, repetitions):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if repetition >= 0:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_memory(variant: str, threads: int) -> float:
    """Return the peak MB of a fresh process that takes three MNIST steps (Linux)."""
    code = [sys.executable, __file__, "memory", "--variant", variant, "--threads", str(threads)]
    return float(subprocess.run(code, check=True, capture_output=True, text=True).stdout)


def bench_mnist_step(threads: int) -> dict[str, Any]:
    """Time a step of each variant and compare their losses over the steps taken."""
    trainers = {variant: mnist_trainer(variant) for variant in MNIST_VARIANTS}
    losses: dict[str, list[float]] = {variant: [] for variant in trainers}
    jobs = {v: (lambda v=v, t=t: losses[v].append(t.step().item())) for v, t in trainers.items()}
    seconds = interleaved(jobs, 15)
    plain = np.array(losses[MNIST_VARIANTS[-1]])
    return {
        variant: {
            "seconds_per_step": seconds[variant],
            "speedup": seconds[MNIST_VARIANTS[-1]] / seconds[variant],
            "peak_memory_mb": peak_memory(variant, threads),
            "largest_relative_difference_of_losses": float(np.abs(np.array(losses[variant]) / plain - 1).max()),
        }
        for variant in trainers
    }


def bench_laplacian(threads: int) -> dict[str, Any]:
    """Time 1,000 steps, in ten turns of 100, on one thread."""
    torch.set_num_threads(1)
    stages = make_schedule([{"loss": "l1", "steps": 10**6, "lr": 1e-3}], 1)
    torch.manual_seed(0)
    model = build_network({"name": "lpn_1d"})
    laplace = torch.distributions.Laplace(0, 1)
    trainers = {
        "explicit": Trainer(copy.deepcopy(model), laplace_batches(2000, 1), stages, sigma=1.0, seed=1),
        "autograd in autograd": PlainTrainer(model, lambda step: laplace.sample((2000, 1)), stages, sigma=1.0, seed=1),
    }
    jobs = {name: (lambda t=t: [t.step() for _ in range(100)]) for name, t in trainers.items()}
    seconds = {name: 10 * value for name, value in interleaved(jobs, 10).items()}
    plain = seconds["autograd in autograd"]
    return {name: {"seconds_per_1000_steps": value, "speedup": plain / value} for name, value in seconds.items()}


def bench_prior(threads: int) -> dict[str, Any]:
    """Train briefly, then invert 100 images in both ways, to the median residual that `fmin_cg` reaches."""
    from scipy.optimize import fmin_cg

    torch.set_num_threads(threads)
    trainer = mnist_trainer("explicit, bf16")
    for _ in range(100):
        trainer.step()
    model = trainer.model.double().eval().requires_grad_(False)
    x = torch.rand(100, 1, 28, 28, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    prox = plain_prox(model)

    def one_by_one(points: Tensor = x) -> Tensor:
        solutions = []
        for sample in points:
            flat = sample.flatten().numpy()

            def value(y: np.ndarray, flat: np.ndarray = flat) -> float:
                return model.potential(torch.from_numpy(y).view(1, 1, 28, 28)).item() - y @ flat

            def gradient(y: np.ndarray, flat: np.ndarray = flat) -> np.ndarray:
                return prox(torch.from_numpy(y).view(1, 1, 28, 28)).numpy().ravel() - flat

            solutions.append(torch.from_numpy(fmin_cg(value, flat, gradient, gtol=1e-4, disp=False)).view(1, 28, 28))
        return torch.stack(solutions)

    few = x[:10]
    reached = (model(one_by_one(few)) - few).flatten(1).norm(dim=1) / few.flatten(1).norm(dim=1)
    tolerance = reached.median().item()
    methods = ("newton_cg", "cvx_cg")
    jobs: dict[str, Callable[[], Any]] = {m: (lambda m=m: invert(model, x, m, tolerance)) for m in methods}
    seconds = interleaved(jobs | {"fmin_cg, one call an image": one_by_one}, 3, warm_up=0)
    plain = seconds["fmin_cg, one call an image"]
    residuals = {m: invert(model, x, m, tolerance).residual.max().item() for m in methods}
    residuals["fmin_cg, one call an image"] = reached.max().item()
    return {
        name: {"seconds": value, "speedup": plain / value, "largest_relative_residual": residuals[name]}
        for name, value in seconds.items()
    }


def bench_checkpoints(threads: int) -> dict[str, Any]:
    """Time the saving of a training's state, and compare with the time between two checkpoints."""
    interval = inspect.signature(train).parameters["save_seconds"].default
    stages = make_schedule([{"loss": "l2", "steps": 10**6, "lr": 1e-3}], 1)
    results = {}
    for name, shape in {"lpn_1d": (1, 1), "lpn_28": (1, 1, 28, 28), "lpn_128": (1, 3, 128, 128)}.items():
        model = build_network({"name": name} | ({"channels": shape[1]} if len(shape) == 4 else {}))
        trainer = Trainer(model, lambda step, shape=shape: torch.zeros(shape), stages, sigma=0.1, seed=0)
        trainer.step()  # the optimiser has a state from now on
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(folder)
            seconds = interleaved({name: lambda c=checkpoints, t=trainer: c.save(t)}, 5)[name]
            megabytes = checkpoints.current.stat().st_size / 2**20
        share = seconds / (interval + seconds)
        results[name] = {"seconds_per_checkpoint": seconds, "megabytes": megabytes, "percent_of_training_time": 100 * share}
    return results


BENCHMARKS = {
    "mnist_step": bench_mnist_step,
    "laplacian": bench_laplacian,
    "prior": bench_prior,
    "checkpoints": bench_checkpoints,
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(BENCHMARKS)} (default: all)")
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads (default: all)")
    arguments.add_argument("--output", help="JSON file to write")
    arguments.add_argument("--variant", help="used by the benchmark itself to measure memory")
    args = arguments.parse_args()
    torch.set_num_threads(args.threads)
    if args.names == ["memory"]:
        trainer = mnist_trainer(args.variant)
        for _ in range(3):
            trainer.step()
        print(int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
        return
    results = {}
    print(f"torch {torch.__version__}, {args.threads} CPU threads; medians of interleaved repetitions")
    for name in args.names or BENCHMARKS:
        results[name] = BENCHMARKS[name](args.threads)
        print(f"\n{name}")
        for variant, values in results[name].items():
            print(f"  {variant:28}" + "  ".join(f"{key} {value:.4g}" for key, value in values.items()))
    if args.output:
        write_json(args.output, {"threads": args.threads, "torch": torch.__version__} | results)


if __name__ == "__main__":
    run_cli(main)
