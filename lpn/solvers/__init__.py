"""Plug-and-play algorithms, one a file: its settings and its mathematics.

A new one is a file with a subclass of `Solver`, whose `iterates` yields one `Iterate` per iteration.
"""

from lpn.solvers._base import Iterate, Problem, Solver, box, solve, squared, until

BASE = Solver

__all__ = ["BASE", "Iterate", "Problem", "Solver", "box", "solve", "squared", "until"]
