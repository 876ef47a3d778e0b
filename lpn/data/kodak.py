"""The Kodak images."""

from pydantic import Field, PositiveInt

from lpn.data._test_set import EvaluationSet


class Kodak(EvaluationSet):
    """The 24 colour photographs of the Kodak suite, for tests only."""

    title = "Kodak"
    people = "the Kodak lossless true colour image suite (kodim01.png ... kodim24.png)"
    files = tuple(f"kodim{number:02}.png" for number in range(1, 25))
    official = "https://r0k.us/graphics/kodak/kodak"
    channels = 3
    digest = "d2ec2564d9361c20040d2c409a62599c0c948a6f028f1896cc03e393a7356e87"
    groups = ((512, 768, 18), (768, 512, 6))
    count: PositiveInt | None = Field(default=24, description="24, the original images, or null to use what is there")
