"""Fixtures: reference files of the published code, small networks, small data."""

import http.server
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lpn.networks import LPN, build_network

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = Path(__file__).parent / "golden"

torch.set_num_threads(1)
os.environ |= {"OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def golden_files(*names: str) -> list[Path]:
    """Return the reference files of these names: the bundled ones, and those of the folder LPN_GOLDEN where it is set."""
    folders = [BUNDLED, *([Path(os.environ["LPN_GOLDEN"])] if "LPN_GOLDEN" in os.environ else [])]
    found = {path.stem: path for folder in reversed(folders) for path in folder.glob("*.npz") if path.stem in names}
    return [found[name] for name in names if name in found]


def build_lpn(settings: dict[str, Any]) -> LPN:
    """Return the LPN of these settings."""
    model = build_network(settings)
    assert isinstance(model, LPN)
    return model


def golden_network(path: Path) -> LPN:
    """Return the network of a reference file, with its weights."""
    arrays = np.load(path)
    config = {
        "net_laplacian": {"name": "lpn_scalar"},
        "net_mnist_h8": {"name": "lpn_28", "hidden": 8},
        "net_128_c1_h8": {"name": "lpn_patch", "channels": 1, "hidden": 8},
        "net_128_c3_h8": {"name": "lpn_patch", "channels": 3, "hidden": 8},
        "model_celeba_h32": {"name": "lpn_patch", "channels": 3, "hidden": 32},
        "model_ct_h32": {"name": "lpn_patch", "channels": 1, "hidden": 32},
    }[path.stem]
    model = build_lpn(config)
    prefix = "" if path.stem.startswith("model_") else "state/"
    weights = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
    model.load_state_dict({name: torch.tensor(weight.astype(np.float32)) for name, weight in weights.items()})
    return model


CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU"))
DEVICES = ["cpu", CUDA]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and a GPU where there is one."""
    return torch.device(request.param)


SMALL: dict[str, dict[str, Any]] = {
    "lpn_scalar": {"name": "lpn_scalar", "hidden": 7, "layers": 2},
    "lpn_scalar with a quadratic term": {"name": "lpn_scalar", "hidden": 7, "layers": 2, "alpha": 0.3},
    "lpn_28": {"name": "lpn_28", "channels": 2, "hidden": 3},
    "lpn_patch": {"name": "lpn_patch", "channels": 2, "hidden": 2},
    "lpn_patch of size 16": {"name": "lpn_patch", "channels": 2, "hidden": 2, "size": 16},
}


@pytest.fixture(params=SMALL)
def network(request: pytest.FixtureRequest) -> LPN:
    """A small float64 network of each kind whose constrained weights are far from 0."""
    torch.manual_seed(0)
    model = build_lpn(SMALL[request.param]).double()
    with torch.no_grad():
        for weight in model.constrained_weights():
            weight.uniform_(0, 2 / weight[0].numel())
    return model


@pytest.fixture
def mnist_network() -> LPN:
    """The published code's small MNIST network."""
    return golden_network(BUNDLED / "net_mnist_h8.npz")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An HTTP server of a folder."""
    folder = tmp_path / "server"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/", folder
        httpd.shutdown()


SCALAR_TRAINING: dict[str, Any] = {
    "network": {"name": "lpn_scalar", "hidden": 8, "layers": 2},
    "dataset": "laplace",
    "sigma": 1.0,
    "seed": 1,
    "batch_size": 50,
    "phases": [{"loss": "l1", "steps": 1000, "lr": 1e-3}],
}


def train_command(folder: Path, spec: dict[str, Any], processes: int = 1) -> list[str]:
    """Return the command line of a training that saves every step, under torchrun if it has several processes."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    script = [str(ROOT / "scripts/train.py"), "--spec", json.dumps(spec), "--output", str(folder / "model.pt")]
    options = ["--logging", '{"every": 50}', "--save-seconds", "0"]
    return [sys.executable, *(torchrun if processes > 1 else []), *script, *options]
