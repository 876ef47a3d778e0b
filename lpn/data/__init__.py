"""Data sets, one a file: their settings, what they hold, and how they are read.

A new one is a file with a subclass of `DataSet`.
"""

from lpn.data._base import SPLITS, DataSet, Images, Sources

BASE = DataSet

__all__ = ["BASE", "SPLITS", "DataSet", "Images", "Sources"]
