"""Linear measurement operators, one a file: a class of settings (`OperatorSettings`) that builds a `LinearOperator`."""

from lpn.operators._base import LinearOperator, OperatorSettings, build_operator

BASE = OperatorSettings

__all__ = ["BASE", "LinearOperator", "OperatorSettings", "build_operator"]
