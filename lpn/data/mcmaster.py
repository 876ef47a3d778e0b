"""The McMaster images."""

from typing import ClassVar

from pydantic import Field, PositiveInt

from lpn.data._fetch import Origin
from lpn.data._test_set import EvaluationSet


class McMaster(EvaluationSet):
    """The 18 colour images of the McMaster set, for tests only."""

    origin: ClassVar[Origin] = Origin(
        title="McMaster",
        people="the authors of the McMaster set, Zhang, Wu, Buades and Li (01.tif ... 18.tif)",
        folder="mcmaster",
        files=tuple(f"{number:02}.tif" for number in range(1, 19)),
    )
    grey: ClassVar[bool] = False
    digest: ClassVar[str] = "3d612a81d11aab1938a2871219541a8211091191269b331279c44bef84ac4008"
    groups: ClassVar[list[tuple[int, int, int | None]]] = [(500, 500, 18)]

    count: PositiveInt | None = Field(default=18, description="18, the original images, or null to use what is there")
