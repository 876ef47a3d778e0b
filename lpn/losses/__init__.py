"""Training losses, one a file. A new one is a file with a subclass of `Loss`."""

from lpn.losses._base import Loss

BASE = Loss

__all__ = ["BASE", "Loss"]
