"""Published values: which of them stand next to ours, and which files are refused."""

from typing import Any

import pytest
from conftest import ROOT
from pydantic import ValidationError
from ruamel.yaml import YAML

from lpn.published import Experiment, Published

BLUR = {"operator": {"name": "blur", "sigma": 1.0}, "noise": 0.02}
RESULT = {"source": "a paper", "data": "celeba", "images": 20, "psnr_ssim": {"deblurring": {"AR": 31.5}}}
DIGIT = {"image": 1, "digit": 3, "published": [1.5, 2.5], "source": "a paper"}
PERTURBATION = {"levels": [0, 0.5], "digits": [DIGIT], "violins": {"source": "", "summaries": {}}}


def experiment(**changes: Any) -> Experiment:
    return Experiment.model_validate({"title": "", "data": "celeba", "methods": {}} | BLUR | changes)


@pytest.mark.parametrize(
    ("changes", "agrees"),
    [
        ({}, True),
        ({"operator": {"name": "blur", "sigma": 1, "kernel": None}}, True),
        ({"noise": 0.2}, False),
        ({"data": "mayo"}, False),
        ({"operator": {"name": "blur", "sigma": 1.5}}, False),
        ({"operator": "identity"}, False),
    ],
)
def test_results_of_the_same_problem_on_the_same_data_are_shown(changes: dict[str, Any], agrees: bool) -> None:
    published = Published.model_validate({"problems": {"deblurring": BLUR}, "results": [RESULT]})
    row = {"method": "AR", "source": "a paper", "psnr_mean": 31.5, "images": 20}
    for same, scale in ((True, "published"), (False, "published, other images")):
        rows = published.rows(experiment(**changes, same_images=same))
        assert rows == ([row | {"scale": scale}] if agrees else [])


def test_files_agree_in_any_folder() -> None:
    def blurred(kernel: str) -> dict[str, Any]:
        return {"operator": {"name": "circular_blur", "kernel": kernel}, "noise": 0.01}

    published = Published.model_validate({"problems": {"deblurring": blurred("levin09.npz")}, "results": [RESULT]})
    assert published.rows(experiment(**blurred("/data/kernels/levin09.npz")))
    assert not published.rows(experiment(**blurred("/data/kernels/mine.npz")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"results": [RESULT]}, "'problems' lacks deblurring"),
        ({"problems": {"deblurring": BLUR}, "results": [RESULT | {"psnr_ssim": {"deblurring": {"AR": [1]}}}]}, "PSNR, SSIM"),
        ({"curves": {"source": "", "points": [{"quantity": "psnr"}]}}, "quantity"),
        ({"priors": {"perturbations": {"blur": PERTURBATION | {"levels": [0]}}}}, "1 values, one for each level"),
        ({"problems": {"deblurring": BLUR | {"noise": -1}}}, "noise"),
        ({"result": []}, "did you mean 'results'"),
    ],
)
def test_bad_values_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Published.model_validate(change)


def test_the_shipped_values_are_read() -> None:
    values = YAML(typ="safe", pure=True).load((ROOT / "config/published.yaml").read_text())
    published = Published.model_validate(values)
    # 4 of curves; 4 and 2 and 2 digits at 5 levels; 5, 4 and 3 violins
    assert len(published.values) == 4 + (4 + 2 + 2) * 5 + 5 + 4 + 3
    assert published.priors is not None
    spreads = {name: found.spread for name, found in published.priors.perturbations.items()}
    assert spreads == {"gaussian": pytest.approx(27.52 - 27.34), "blur": None, "convex": None}
    for found in published.priors.perturbations.values():
        assert all(summary == sorted(summary) for summary in found.violins.summaries.values())
    assert {name for result in published.results for name in result.psnr_ssim} == set(published.problems)


def test_intervals() -> None:
    point = {"quantity": "regulariser", "x": 3.4, "model": "l1", "describes": "l1"}
    published = Published.model_validate(
        {"curves": {"source": "", "points": [point | {"published": [2.7, 2.9]}, point | {"published": 3.4}]}}
    )
    interval, number = published.values
    assert (interval.words, number.words) == ("about 2.7 to 2.9", "about 3.4")
    assert [interval.difference(ours) for ours in (2.6, 2.8, 3.0)] == pytest.approx([-0.1, 0, 0.1])
    assert number.difference(3.0) == pytest.approx(-0.4)
