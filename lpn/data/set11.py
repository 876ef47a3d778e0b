"""The 11 standard grey test images."""

from pydantic import Field, PositiveInt

from lpn.data._test_set import EvaluationSet

NAMES = ("barbara", "boat", "cameraman", "couple", "fingerprint", "hill", "house", "lena", "man", "montage", "peppers")


class Set11(EvaluationSet):
    """The 11 standard images, grey, for tests only."""

    title = "the set of 11 standard images"
    people = "the usual collections of grey test images (barbara.png, boat.png ... peppers.png)"
    files = tuple(f"{name}.png" for name in NAMES)
    channels = 1
    originals = "ef2858f5 b9e60f61 5245a061 b0fdc80c 1a99e2b9 a8331013 e7e0d54b a47e3635 68d274be 2264b3cf 217be81c"
    groups = ((256, 256, 4), (512, 512, 7))
    count: PositiveInt | None = Field(default=11, description="11, the original images, or null to use what is there")
