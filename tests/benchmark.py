"""Time our code and the plain formulation in one run: medians of several alternating turns, and ratios.

Each turn of each variant is a process of its own, as users run it. Our variants set the memory allocator and flush
subnormals; the plain one does not.

  mnist_step          a training step of the 28x28 network (h=64, batch 200): the explicit gradient in bf16 and in fp32,
                      compared with autograd inside autograd in eager fp32; bf16 only on processors that are faster in it
  laplacian           1,000 training steps of the scalar network (batch 2000, one thread), compared with autograd in autograd
  prior               inversion of 100 images at once, compared with SciPy's `fmin_cg` for each image, to the same residual
  deblurring          ADMM with an LPN of 64x64 patches for a 128x128 image (deblurring) or a 512x512 slice (the others),
  tomography          compared with conjugate gradients without a preconditioner, to the same tolerance, and with the
  compressed_sensing  gradient by autograd, one patch at a time
  checkpoints         saving the state of a training, in percent of the time between two checkpoints

First come the peaks of this machine in fp32: a matrix product, a 3x3 convolution as wide as those of the 28x28 network, and
a sum of large vectors (bytes read and written). Shares are of the rate of the matrix product.

examples:
  python tests/benchmark.py
  python tests/benchmark.py prior --threads 2 --output bench.json
"""

import argparse
import inspect
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from reference import plain_prox
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lpn.checkpoints import load_model, save_model
from lpn.compute import keep_freed_memory, use_bf16
from lpn.data.laplace import Laplace
from lpn.denoisers.learned import ExactProx, PatchLPN
from lpn.errors import run_cli
from lpn.files import write_json
from lpn.metrics import psnr
from lpn.networks import LPN, build_network
from lpn.operators import build_operator
from lpn.operators.blur import BlurSettings
from lpn.operators.compressed_sensing import CompressedSensingSettings
from lpn.operators.tomography import TomographySettings
from lpn.prior import invert
from lpn.record import machine
from lpn.solvers import Problem
from lpn.solvers.admm import ADMM
from lpn.training.batches import noisy_batches
from lpn.training.schedule import make_schedule
from lpn.training.settings import Phase, TrainingSettings
from lpn.training.state import Checkpoints, Identity
from lpn.training.trainer import Batch, Trainer, train

BF16 = ("explicit, bf16",) if use_bf16(torch.device("cpu")) else ()
AUTOGRAD, ONE_BY_ONE, PLAIN = "autograd in autograd, fp32", "fmin_cg, one call an image", "plain"
PHASE = Phase.model_validate({"loss": "l1", "steps": 10**6, "lr": 1e-3})
ROUNDS = 3


class PlainTrainer(Trainer):
    """The usual loop: autograd inside autograd, Adam with its defaults, weights clipped one by one, every loss read."""

    def __init__(self, model: LPN, *args: Any, **options: Any) -> None:
        super().__init__(model, *args, **options)
        self.model = model.to(memory_format=torch.contiguous_format)
        self.f, self.constrained = plain_prox(model), model.constrained_weights()
        self.optimizer = torch.optim.Adam(model.parameters())

    def step(self, batch: Batch | None = None) -> Tensor:
        """Take one step and wait for its loss."""
        batch = batch or self.batches(self.step_count)
        assert isinstance(batch, tuple)
        clean, noisy = batch
        loss = self.stages[0].loss(self.f(noisy) - clean)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        for weight in self.constrained:
            weight.data.clamp_(0)
        self.step_count += 1
        loss.item()
        return loss.detach()


def timed(job: Callable[[], Any], turns: int, warm_up: int = 0) -> list[float]:
    """Return the seconds of each turn."""
    seconds = []
    for turn in range(-warm_up, turns):
        start = time.perf_counter()
        job()
        if turn >= 0:
            seconds.append(time.perf_counter() - start)
    return seconds


def peaks() -> dict[str, float]:
    """Return the rates of this machine: of matrix products and convolutions in GFLOP/s, of memory in GB/s."""
    matrix, vector = torch.rand(2048, 2048), torch.rand(2**26)
    images, weight = torch.rand(25, 64, 28, 28).to(memory_format=torch.channels_last), torch.rand(64, 64, 3, 3)
    total = torch.empty_like(vector)
    jobs: dict[str, tuple[float, Callable[[], Tensor]]] = {
        "matrix_product": (2 * 2048**3, lambda: matrix @ matrix),
        "convolution": (2 * 9 * 64 * images.numel(), lambda: torch.conv2d(images, weight, padding=1)),
        "memory": (3 * 4 * vector.numel(), lambda: torch.add(vector, vector, out=total)),
    }
    return {name: work / statistics.median(timed(job, 9, warm_up=2)) / 1e9 for name, (work, job) in jobs.items()}


def new_lpn(**settings: Any) -> LPN:
    """Return an LPN of these settings, with initial weights drawn from a fixed seed."""
    torch.manual_seed(0)
    return cast("LPN", build_network(settings))


def mnist_trainer(variant: str) -> Trainer:
    """Return a trainer of the paper's MNIST network on made images."""
    model = new_lpn(name="lpn_28")
    images = torch.rand(200, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    kind = PlainTrainer if variant == AUTOGRAD else Trainer
    batches = noisy_batches(lambda step: images, 0.1, 0)
    return kind(model, batches, make_schedule([PHASE], 784), precision="bf16" if variant.endswith("bf16") else "fp32")


def mnist_step(variant: str, folder: Path, plain: dict[str, Any]) -> dict[str, Any]:
    """Time steps, and compare their losses with those of the plain formulation."""
    trainer, losses = mnist_trainer(variant), []
    seconds = timed(lambda: losses.append(trainer.step().item()), turns=5, warm_up=2)
    difference = np.abs(np.array(losses) / np.array(plain.get("losses", losses)) - 1).max()
    with FlopCounterMode(display=False) as counter:  # it can't count autograd in autograd, which needs no fewer
        mnist_trainer("explicit, fp32").step()
    rate = counter.get_total_flops() / statistics.median(seconds) / 1e9
    result = {"seconds": seconds, "losses": losses, "largest_relative_difference_of_losses": difference}
    return result | {"gflop_per_second": rate, "share_of_peak": rate / peaks()["matrix_product"]}


def laplacian(variant: str, folder: Path, plain: dict[str, Any]) -> dict[str, Any]:
    """Time 1,000 steps, in turns of 100."""
    torch.set_num_threads(1)
    model, stages = new_lpn(name="lpn_scalar"), make_schedule([PHASE], 1)
    if variant == AUTOGRAD:
        laplace = torch.distributions.Laplace(0, 1)
        trainer = PlainTrainer(model, noisy_batches(lambda step: laplace.sample((2000, 1)), 1.0, 1), stages)
    else:
        trainer = Trainer(model, noisy_batches(Laplace().batches(2000, 1), 1.0, 1), stages)
    return {"seconds": [10 * s for s in timed(lambda: [trainer.step() for _ in range(100)], turns=4, warm_up=1)]}


def train_mnist(folder: Path) -> None:
    """Train the network of `prior` briefly."""
    trainer = mnist_trainer((*BF16, "explicit, fp32")[0])
    for _ in range(100):
        trainer.step()
    save_model(folder / "model.pt", trainer.model, 100, {}, 0.0)


def prior(variant: str, folder: Path, plain: dict[str, Any]) -> dict[str, Any]:
    """Invert 100 images, to the median residual that `fmin_cg` reaches."""
    model = cast("LPN", load_model(folder / "model.pt")).double()
    x = torch.rand(100, 1, 28, 28, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    solutions: list[Tensor] = []
    if variant == ONE_BY_ONE:
        seconds = timed(lambda: solutions.append(invert_one_by_one(model, x)), turns=1)
    else:
        seconds = timed(lambda: solutions.append(invert(model, x, variant, plain["median_residual"]).y), turns=1)
    residual = ((model(solutions[0]) - x).flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)).numpy()
    return {"seconds": seconds, "median_residual": np.median(residual), "largest_residual": residual.max()}


def invert_one_by_one(model: LPN, x: Tensor) -> Tensor:
    """Return f^{-1}(x) as the published code finds it: SciPy's nonlinear conjugate gradients for each image."""
    from scipy.optimize import fmin_cg

    prox, solutions = plain_prox(model), []
    for sample in x:
        flat = sample.flatten().numpy()

        def value(y: np.ndarray, flat: np.ndarray = flat) -> float:
            return model.potential(torch.from_numpy(y).view(1, 1, 28, 28)).item() - float(y @ flat)

        def gradient(y: np.ndarray, flat: np.ndarray = flat) -> np.ndarray:
            return prox(torch.from_numpy(y).view(1, 1, 28, 28)).numpy().ravel() - flat

        solutions.append(torch.from_numpy(fmin_cg(value, flat, gradient, gtol=1e-4, disp=False)).view(sample.shape))
    return torch.stack(solutions)


@dataclass(frozen=True)
class TimedProblem(Problem):
    """A problem that keeps the seconds and the iterations of its x-steps."""

    spent: dict[str, float] = field(default_factory=lambda: {"seconds": 0.0, "iterations": 0})

    def proximal(self, rho: float) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return the x-step of `Problem`, timed."""
        solve = super().proximal(rho)

        def timed_solve(v: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
            begin = time.perf_counter()
            x, iterations = solve(v, start)
            self.spent["seconds"] += time.perf_counter() - begin
            self.spent["iterations"] += int(iterations.sum())
            return x, iterations

        return timed_solve


INVERSE = {  # operator, noise, scale, rho and iterations as in the paper, except the 20 of compressed sensing
    "deblurring": (BlurSettings.model_validate({"sigma": 1.0}), 0.02, 0.5, 0.1, 20),
    "tomography": (TomographySettings(angles=200, detectors=400), 2.0, 1e-4, 0.05, 15),
    "compressed_sensing": (CompressedSensingSettings(measurements=16384), 1e-3, 1.0, 0.05, 20),
}


def phantom() -> Tensor:
    """Return the Shepp-Logan phantom, (1, 1, 512, 512)."""
    from skimage.data import shepp_logan_phantom
    from skimage.transform import resize

    return torch.from_numpy(resize(shepp_logan_phantom(), (512, 512))).float()[None, None]


def train_patches(folder: Path) -> None:
    """Train a narrow LPN of 64x64 patches briefly on patches of the phantom."""
    image = phantom()
    model = new_lpn(name="lpn_patch", channels=1, hidden=32, size=64)
    corners = torch.randint(0, 512 - 63, (100, 8, 2), generator=torch.Generator().manual_seed(0)).tolist()
    batches = [torch.cat([image[..., i : i + 64, j : j + 64] for i, j in step]) for step in corners]
    noisy = noisy_batches(lambda step: batches[step], 0.1, 0)
    trainer = Trainer(model, noisy, make_schedule([PHASE], 64 * 64), precision="bf16" if BF16 else "fp32")
    for _ in batches:
        trainer.step()
    save_model(folder / "model.pt", model, 100, {}, 0.0)


def inverse(name: str, variant: str, folder: Path, plain: dict[str, Any]) -> dict[str, Any]:
    """Reconstruct one image, with an average over patches side by side."""
    settings, noise, scale, rho, iterations = INVERSE[name]
    x = phantom()[..., 64:448:3, 64:448:3] if name == "deblurring" else phantom()
    operator = build_operator(settings, tuple(x.shape[1:]), 0)
    y = operator(x)
    y = y + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    start, model = operator.initial(y), cast("LPN", load_model(folder / "model.pt"))
    if variant == PLAIN:
        f = plain_prox(model)
        model.prox_and_potential = lambda x: (f(x), torch.zeros(len(x)))  # pyright: ignore[reportArgumentType]
        prox = PatchLPN(model, stride=64, batch=1)
    else:
        prox = ExactProx(PatchLPN(model.to(memory_format=torch.channels_last), stride=64))
    problem = TimedProblem(operator, y, scale, cg_iterations=200, preconditioned=variant != PLAIN)
    iterates = islice(ADMM(rho=rho, order="132", box=True).iterates(problem, prox, start), iterations)
    last: list[Tensor] = []
    seconds = timed(lambda: last.extend(iterate.x for iterate in iterates), turns=1)
    return {
        "seconds": seconds,
        "x_steps_speedup": plain["x_steps"] / problem.spent["seconds"] if plain else 1.0,
        "x_steps": problem.spent["seconds"],
        "cg_iterations": problem.spent["iterations"],
        "psnr": float(psnr(last[-1].numpy(), x.numpy())[0]),
    }


def checkpoints(variant: str, folder: Path, plain: dict[str, Any]) -> dict[str, Any]:
    """Time the saving of a training's state."""
    interval = inspect.signature(train).parameters["save_seconds"].default
    shape = {"lpn_scalar": (1, 1), "lpn_28": (1, 1, 28, 28), "lpn_patch": (1, 3, 128, 128)}[variant]
    values = {"network": variant, "sigma": 0.1, "seed": 0, "batch_size": 1, "phases": [PHASE]}
    settings = TrainingSettings.model_validate(values)
    model, stages = build_network(settings.network), make_schedule([PHASE], 1)
    trainer = Trainer(model, lambda step: (torch.zeros(shape), torch.zeros(shape)), stages)
    trainer.step()  # the optimiser has a state from now on
    places = Checkpoints(folder, Identity(settings))
    seconds = timed(lambda: places.save(trainer), turns=3)
    return {"seconds": seconds, "percent_of_training_time": 100 * statistics.median(seconds) / interval}


@dataclass(frozen=True)
class Benchmark:
    """What is compared.

    Attributes:
        variants: what is timed.
        run: (variant, folder, results of the plain formulation, if it has run) -> seconds and other results.
        prepare: writes what all variants start from into a folder.
        reference: whether the last variant is the plain formulation, with which the others are compared.
    """

    variants: tuple[str, ...]
    run: Callable[[str, Path, dict[str, Any]], dict[str, Any]]
    prepare: Callable[[Path], None] = lambda folder: None
    reference: bool = True


BENCHMARKS = {
    "mnist_step": Benchmark((*BF16, "explicit, fp32", AUTOGRAD), mnist_step),
    "laplacian": Benchmark(("explicit", AUTOGRAD), laplacian),
    "prior": Benchmark(("quasi_newton", "cvx_cg", ONE_BY_ONE), prior, train_mnist),
    "checkpoints": Benchmark(("lpn_scalar", "lpn_28", "lpn_patch"), checkpoints, reference=False),
} | {name: Benchmark(("ours", PLAIN), lambda *a, n=name: inverse(n, *a), train_patches) for name in INVERSE}


def compare(name: str, threads: int) -> dict[str, dict[str, float]]:
    """Run the variants in turns, each in a process of its own, the plain one first; return medians and ratios."""
    variants = BENCHMARKS[name].variants
    runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in variants}
    with tempfile.TemporaryDirectory() as folder:
        BENCHMARKS[name].prepare(Path(folder))
        command = [sys.executable, __file__, name, "--threads", str(threads), "--folder", folder, "--variant"]
        for _ in range(ROUNDS):
            for variant in reversed(variants):
                plain = json.dumps(runs[variants[-1]][-1] if variant != variants[-1] else {})
                run = subprocess.run([*command, variant], input=plain, check=True, stdout=subprocess.PIPE, text=True)
                runs[variant].append(json.loads(run.stdout.splitlines()[-1]))
    seconds = {variant: statistics.median(s for run in runs[variant] for s in run["seconds"]) for variant in variants}
    results = {}
    for variant in variants:
        ratio = {"speedup": seconds[variants[-1]] / seconds[variant]} if BENCHMARKS[name].reference else {}
        others = [key for key, value in runs[variant][0].items() if isinstance(value, (int, float))]
        medians = {key: statistics.median(run[key] for run in runs[variant]) for key in others}
        results[variant] = {"seconds": seconds[variant]} | ratio | medians
    return results


def run_variant(name: str, variant: str, folder: Path) -> None:
    """Run one turn of one variant and print its results, with the peak memory (Linux), as JSON."""
    if variant != BENCHMARKS[name].variants[-1]:
        keep_freed_memory()
        torch.set_flush_denormal(True)
    result = BENCHMARKS[name].run(variant, folder, json.load(sys.stdin))
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps(result | {"peak_memory_mb": int(peak) / 1024}, default=float))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(BENCHMARKS)} (default: all)")
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads (default: all)")
    arguments.add_argument("--output", help="JSON file to write")
    arguments.add_argument("--variant", help="used by the benchmark itself, for one turn of one variant")
    arguments.add_argument("--folder", type=Path, help="used by the benchmark itself")
    args = arguments.parse_args()
    torch.set_num_threads(args.threads)
    if args.variant:
        run_variant(args.names[0], args.variant, args.folder)
        return
    print(f"{machine()}; torch {torch.__version__}, {args.threads} CPU threads; medians of alternating turns")
    limits = peaks()
    print("peaks: " + "  ".join(f"{name} {rate:.4g} G/s" for name, rate in limits.items()), flush=True)
    results = {}
    for name in args.names or BENCHMARKS:
        results[name] = compare(name, args.threads)
        print(f"\n{name}", flush=True)
        for variant, values in results[name].items():
            print(f"  {variant:28}" + "  ".join(f"{key} {value:.4g}" for key, value in values.items()), flush=True)
    if args.output:
        about = {"machine": machine(), "threads": args.threads, "torch": torch.__version__, "peaks": limits}
        write_json(args.output, about | results)


if __name__ == "__main__":
    run_cli(main)
