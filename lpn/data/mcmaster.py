"""The McMaster images."""

from pydantic import Field, PositiveInt

from lpn.data._test_set import EvaluationSet


class McMaster(EvaluationSet):
    """The 18 colour images of the McMaster set, for tests only."""

    title = "McMaster"
    people = "the authors of the McMaster set, Zhang, Wu, Buades and Li (01.tif ... 18.tif)"
    files = tuple(f"{number:02}.tif" for number in range(1, 19))
    channels = 3
    originals = (
        "4528ba1b 4172781e 53384222 c8e23758 43c81227 fddd4c01 9bc8eb15 b8ad6534 11e6b190 cebdbeae d5c83cff fa51aaf7 "
        "38289d53 c9b439d7 92d949ae 89d3d457 11e43221 12dc9d9d"
    )
    groups = ((500, 500, 18),)
    count: PositiveInt | None = Field(default=18, description="18, the original images, or null to use what is there")
