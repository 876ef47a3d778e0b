"""Learned proximal networks: exact proximal operators learned from data, and the priors they imply."""

__version__ = "0.1.0"
