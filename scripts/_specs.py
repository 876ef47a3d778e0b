"""Settings that the scripts that reconstruct images share."""

from typing import Annotated

from pydantic import Field

from lpn.experiment import Method, Scores
from lpn.operators import OperatorSettings
from lpn.settings import Choice


class MethodSpec(Scores):
    """A method, the operator of its measurements, and how its images are scored."""

    operator: Annotated[OperatorSettings, Choice("operator")] = Field(description="the operator that measured")
    seed: int = Field(description="the seed of the measurements, from which random operators are drawn")
    method: Method = Field(description="the method: solver, prox, scale, iterations, stop")
