"""The unrolled steps of a trained network."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from torch import Tensor

from lpn.networks import NetworkSettings, Regulariser
from lpn.solvers._base import Iterate, Problem, Solver, no_iterations, squared


class Unrolled(Solver):
    """The steps of a trained reconstruction G, end to end: the last iterate is G(y). The network is uar.

    There is no objective: G was trained to make the data term and R small. Both residuals are the norm of the step.
    """

    takes: ClassVar[Literal["prox", "regulariser"]] = "regulariser"

    def check_network(self, network: NetworkSettings, iterations: int) -> None:
        """Raise ValueError unless the network has unrolled steps, as many as there are iterations."""
        check_generator(network)
        if iterations != (steps := network.unrolled_steps):
            raise ValueError(f"iterations is {iterations}, but the network has {steps} unrolled steps: set it to {steps}")

    def iterates(self, problem: Problem, regulariser: Regulariser, x: Tensor) -> Iterator[Iterate]:
        none = no_iterations(x)
        for image in regulariser.unrolled(problem.operator, problem.y, x):
            change = squared(image - x).sqrt()
            yield Iterate(image, image, x, change, change, none, regulariser(image).double())
            x = image


def check_generator(network: NetworkSettings) -> None:
    """Raise ValueError if a network has no unrolled steps."""
    if not network.unrolled_steps:
        raise ValueError(f"the network {network.name} has no unrolled steps: train a network uar")
