"""Denoisers, learned and classical, one a file: a subclass of `Denoiser`, with its settings and its mathematics."""

from lpn.denoisers._base import Denoiser, Prox, as_prox
from lpn.denoisers._patches import PatchLPN, whole
from lpn.denoisers.learned import ExactProx, Relaxed, evaluate

BASE = Denoiser

__all__ = ["BASE", "Denoiser", "ExactProx", "PatchLPN", "Prox", "Relaxed", "as_prox", "evaluate", "whole"]
