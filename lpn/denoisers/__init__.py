"""Denoisers, learned and classical, one a file: its settings and its mathematics.

A new one is a file with a subclass of `Denoiser`, whose `__call__` takes and returns images (N, C, H, W).
"""

from lpn.denoisers._base import Denoiser, Prox, as_prox
from lpn.denoisers._exact import ExactProx, evaluate
from lpn.denoisers._patches import PatchLPN

BASE = Denoiser

__all__ = ["BASE", "Denoiser", "ExactProx", "PatchLPN", "Prox", "as_prox", "evaluate"]
