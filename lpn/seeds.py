"""Named random streams.

Every random draw is a pure function of (seed, stream name, index): nothing has to be stored to resume, streams never
overlap, and the draw for step 1000 does not depend on how steps 0-999 were split over jobs. Draws are made on the CPU and
copied, since the generators of other devices give other numbers.
"""

import hashlib

import numpy as np
import torch


def stream_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream `names` of `seed`, by SHA-256."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a torch generator, of the CPU, at the start of the stream `names` of `seed`."""
    return torch.Generator().manual_seed(stream_seed(seed, *names))


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator at the start of the stream `names` of `seed`."""
    return np.random.default_rng(stream_seed(seed, *names))
