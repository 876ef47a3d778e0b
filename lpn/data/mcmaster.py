"""The McMaster images."""

from pydantic import Field, PositiveInt

from lpn.data._test_set import EvaluationSet


class McMaster(EvaluationSet):
    """The 18 colour images of the McMaster set, for tests only."""

    title = "McMaster"
    people = "the authors of the McMaster set, Zhang, Wu, Buades and Li (01.tif ... 18.tif)"
    files = tuple(f"{number:02}.tif" for number in range(1, 19))
    channels = 3
    digest = "3d612a81d11aab1938a2871219541a8211091191269b331279c44bef84ac4008"
    groups = ((500, 500, 18),)
    count: PositiveInt | None = Field(default=18, description="18, the original images, or null to use what is there")
