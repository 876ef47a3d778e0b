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
    digest = "cb50233fe0ab18a68ade3e85f5fa208c8c89c26db489c52e922d97e79b629421"
    groups = ((256, 256, 4), (512, 512, 7))
    count: PositiveInt | None = Field(default=11, description="11, the original images, or null to use what is there")
