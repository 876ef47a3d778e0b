"""The unrolled steps of a trained network."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from torch import Tensor

from lpn.networks import NetworkSettings, Regulariser
from lpn.networks.uar import UAR, UARSettings
from lpn.solvers._base import Iterate, Problem, Solver, no_iterations, squared


class Unrolled(Solver):
    """The steps of a trained reconstruction G, end to end: the last iterate is G(y). The network is uar.

    There is no objective: G was trained to make the data term and R small. Both residuals are the norm of the step.
    """

    takes: ClassVar[Literal["prox", "regulariser"]] = "regulariser"

    def check_network(self, network: NetworkSettings, iterations: int) -> None:
        """Raise ValueError unless the network has unrolled steps, as many as there are iterations."""
        if iterations != (steps := check_generator(network).steps):
            raise ValueError(f"iterations is {iterations}, but the network has {steps} unrolled steps: set it to {steps}")

    def iterates(self, problem: Problem, regulariser: Regulariser, x: Tensor) -> Iterator[Iterate]:
        none = no_iterations(x)
        for image in generated(regulariser, problem, x):
            change = squared(image - x).sqrt()
            yield Iterate(image, image, x, change, change, none, regulariser(image).double())
            x = image


def check_generator(network: NetworkSettings) -> UARSettings:
    """Return the settings of a network with unrolled steps. Raises ValueError if it has none."""
    if not isinstance(network, UARSettings):
        raise ValueError(f"the network {network.name} has no unrolled steps: train a network uar")
    return network


def generated(network: Regulariser, problem: Problem, start: Tensor) -> Iterator[Tensor]:
    """Return the images of the unrolled steps of a network that `check_generator` accepts."""
    assert isinstance(network, UAR)
    return network.unrolled(problem.operator, problem.y, start)
