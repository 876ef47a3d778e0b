"""Augmentations of training images, one a file. A new one is a file with a subclass of `Augmentation`."""

from lpn.augmentations._base import Augmentation

BASE = Augmentation

__all__ = ["BASE", "Augmentation"]
