"""The page of all settings and the JSON schema are those of the code, and the schema knows the files as they are."""

from pathlib import Path
from typing import Any

import document
import jsonschema
import pytest
from configuration import read_yaml

from .conftest import ROOT

CONFIGURATIONS = [
    *sorted((ROOT / "config/paper").glob("*.yaml")),
    *sorted((ROOT / "config/examples").glob("*.yaml")),
    *(ROOT / f"config/{n}.yaml" for n in ("paper", "demo", "subset")),
]


def test_documents_are_up_to_date(tmp_path: Path) -> None:
    document.write(tmp_path)
    for name in ("settings.md", "config.schema.json", "published.md"):
        assert (tmp_path / name).read_text() == (ROOT / "docs" / name).read_text(), (
            f"run `make docs-settings`: docs/{name} is old"
        )


def test_the_page_explains_keys_and_components() -> None:
    page = document.page()
    assert "- noise: standard deviation of the noise (float, >= 0, needed)\n" in page
    assert "## `operator` of an experiment\n\n### `bayer`\n\nThe RGGB mosaic" in page
    assert "None (" not in page.replace("None (default", "")


def test_the_page_shows_every_published_value() -> None:
    page, published = document.published_page(), read_yaml(ROOT / "config/published.yaml")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    perturbations = published["priors"]["perturbations"].values()
    digits = [digit for perturbation in perturbations for digit in perturbation["digits"]]
    medians = [summary[2] for part in perturbations for summary in part["violins"]["summaries"].values()]
    shown = [float(row[1]) for row in rows if row[0].startswith(("R of", "median of"))]
    assert sorted(shown) == sorted([*(number for digit in digits for number in digit["published"]), *medians])
    curves = [row for row in rows if row[-1] == published["curves"]["source"]]
    assert [row[1] for row in curves] == ["about 3.4", "about 2.7 to 2.9", "about 2.7 to 2.9", "about 0.15"]
    methods = sum(len(of_problem) for result in published["results"] for of_problem in result["psnr_ssim"].values())
    assert len(rows) == len(curves) + len(shown) + methods + 2 * (1 + len(published["problems"]))
    assert "| LPN | 38.03 |  | mayo | 128 | Fang et al. 2024, Table 2, as quoted in its public reviews |\n" in page
    assert "| FBP | 20.233 ± 0.034 | 0.1763 ± 0.0138 | mayo | 128 | Zhang et al., Rethinking Gradient Step" in page
    assert "Operator `identity`; noise 0.1.\n" in page
    assert "## `deblur_1_0.02`\n\nOperator `blur`, sigma 1.0; noise 0.02.\n" in page


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = document.file_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_the_schema_accepts_shipped_files(validator: jsonschema.Draft202012Validator, path: Path) -> None:
    validator.validate(read_yaml(path))


@pytest.mark.parametrize(
    "config",
    [
        {"models": {"a": {"like": "b", "network": {"hidden": 3}, "patch": None}}},
        {"models": {"a": {"source": "model.pt", "network": "lpn_28"}}},
        {"data": {"a": {"like": "b", "count": 3}, "b": {"name": "mine.py:Mine", "path": "x"}, "c": "mnist"}},
        {"experiments": {"a": {"like": "b", "methods": ["tv", {"lpn": {"like": "tv", "scale": 1, "tune": None}}]}}},
        {"methods": {"a": {"solver": "pgd", "prox": {"model": "x"}}}},
    ],
)
def test_the_schema_accepts_parts(validator: jsonschema.Draft202012Validator, config: dict[str, Any]) -> None:
    validator.validate(config)


@pytest.mark.parametrize(
    "config",
    [
        {"modles": {}},
        {"models": {"a": {"netwrk": "lpn_28"}}},
        {"models": {"a": {"network": {"name": "lpn_28", "size": 3}}}},
        {"models": {"a": {"sigma": 0}}},
        {"experiments": {"a": {"methods": {"tv": {}}}}},
        {"experiments": {"a": {"methods": [{"tv": {"scal": 1}}]}}},
    ],
)
def test_the_schema_refuses_faults(validator: jsonschema.Draft202012Validator, config: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(config)
