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
    originals = (
        "4472f6c5 eae6f152 9b6674c0 257f9ff0 7f08f404 9ec313ed 9e7afe31 73f5c629 c05e7c0f 49b27113 1be23cec 33ff2b6d "
        "b22f6c86 0bcab0fc 7a5638d2 0dcf44be 420b51ac e74e205c 59af6bfd 052e639a 24afe414 15175fd3 dd5913c2 fb462420"
    )
    groups = ((512, 768, 18), (768, 512, 6))
    count: PositiveInt | None = Field(default=24, description="24, the original images, or null to use what is there")
