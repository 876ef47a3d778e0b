"""Algorithms, one a file: a subclass of `Solver`, with its settings and its mathematics."""

from lpn.solvers._base import Iterate, Problem, Solver, box, solve, squared, until

BASE = Solver

__all__ = ["BASE", "Iterate", "Problem", "Solver", "box", "solve", "squared", "until"]
