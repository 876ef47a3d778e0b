"""Linear measurement operators, one a file: its settings and its mathematics.

A new one is a file with a class of settings (`OperatorSettings`), whose `build` returns a `LinearOperator`.
"""

from lpn.operators._base import LinearOperator, OperatorSettings, build_operator

BASE = OperatorSettings

__all__ = ["BASE", "LinearOperator", "OperatorSettings", "build_operator"]
