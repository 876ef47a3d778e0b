"""BSD68, the usual test images of grey denoisers, all from BSDS500."""

from pathlib import Path

from pydantic import Field, PositiveInt

from lpn.data._base import Sizes
from lpn.data.bsds500 import BSDS500, HEIGHT, WIDTH
from lpn.errors import UserError

# of files, in the order of the images
NAMES = """
101085 101087 102061 103070 105025 106024 108005 108070 108082 109053 119082 12084 123074 126007 130026 134035
14037 143090 145086 147091 148026 148089 157055 159008 160068 16077 163085 167062 167083 170057 175032 175043
182053 189080 19021 196073 197017 208001 210088 21077 216081 219090 220075 223061 227092 229036 236037 24077 241004
241048 253027 253055 260058 271035 285079 291000 295087 296007 296059 299086 300091 302008 304034 304074 306005
3096 33039 351093
"""
TESTS = len(NAMES.split())


class BSD68(BSDS500):
    """BSD68: uint8 (n, 1, 321, 481) from the files of `bsds500`; portrait images are turned by a quarter.

    The 68 test images are those of the benchmark LearnedRegularizers (arXiv 2510.01755), all of them in BSDS500's val. As in
    that benchmark, BSDS500's train and test are for training. The other 32 images of val are for validation.
    """

    title = "BSD68"
    count: PositiveInt | None = Field(default=400, description="the number of training images; null accepts what is there")
    grey: bool = Field(default=True, description="whether images are grey, by the luma of ITU-R 601")

    @property
    def home(self) -> str:
        return "bsds500"

    def sizes(self, split: str) -> Sizes:
        return [(HEIGHT, WIDTH, {"train": self.count, "test": TESTS}.get(split))]

    def split(self, files: dict[str, list[Path]], place: Path) -> dict[str, list[Path]]:
        train, tests = files["train"] + files["test"], NAMES.split()
        self.check_count(len(train), place)
        val = {path.stem: path for path in files["validation"]}
        if missing := [name for name in tests if name not in val]:
            raise UserError(
                f"{place} lacks {len(missing)} of the 68 images of BSD68, which BSDS500 has in val: "
                f"{', '.join(missing[:5])}{', ...' * (len(missing) > 5)}. Place them there."
            )
        others = [path for name, path in val.items() if name not in tests]
        if not others:
            raise UserError(
                f"{place} has no images of val but the 68 of BSD68, which only test. Place others there for validation."
            )
        return {"train": train, "validation": others, "test": [val[name] for name in tests]}
