"""What Snakemake plans by a configuration, in a copy of the project. (`test_plan.py` tests the settings of all jobs.)"""

import json
import re
import shutil
from typing import Any

import numpy as np
from configuration import lay
from layout import Layout
from PIL import Image

from .conftest import ROOT, TINY, Project, prepared


def write(project: Project, update: dict[str, Any]) -> None:
    """Lay an update over the tiny configuration."""
    project.write_config(lay(TINY, update))


def test_a_key_given_twice_is_refused(project: Project) -> None:
    file = project.folder / "mine.yaml"
    file.write_text("run: mine\nmodels:\n  mnist: {sigma: 0.2}\npriors: {}\nmodels:\n  mnist: {seed: 3}\n")
    result = project.snakemake("--dry-run", "--configfile", str(file), check=False)
    assert result.returncode
    output = result.stdout + result.stderr
    assert re.search(r'error in the configuration: mine.yaml can\'t be read: .*duplicate key "models".*line 5', output)
    assert "Traceback" not in output


def test_images_are_split_over_jobs_but_tuned_on_together(project: Project) -> None:
    write(project, {"experiments": {"deblur": {"tuning": {"images": 4}}}})  # more than images_per_job
    run = project.snakemake("--dry-run", "--printshellcmds", "--until", "measure")
    specs = [json.loads(text) for text in re.findall(r"measure\.py --spec '(.*?)' --data", run.stdout + run.stderr)]
    parts = sorted((spec["split"], spec["first"], spec["images"]) for spec in specs)
    assert parts == [("test", 0, 2), ("test", 2, 1), ("validation", 0, 4)]


def test_original_and_other_data_do_not_mix(project: Project) -> None:
    write(project, {"data": {"celeba": {"count": 5}}})
    jobs = project.planned()
    assert f"Preparing the data set {prepared('celeba', count=5)}" in jobs
    assert f"Preparing the data set {prepared('mnist')}" not in jobs  # it is there


def test_another_source_of_unchecked_data_prepares_them_again(project: Project) -> None:
    place = project.folder / "data/mcmaster"
    place.mkdir(parents=True)
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(place / "1.png")
    some = {"name": "mcmaster", "count": None}
    deblur = {"data": "some", "images": 1, "shown": [0], "methods": ["observation"]}
    update = {"data": {"some": some}, "experiments": {"deblur": deblur}, "make": ["deblur"]}
    name = Layout.prepared_name("some", some)
    target = f"data/prepared/{name}/test.npy"
    write(project, update)
    project.snakemake(target)
    assert project.planned(target) == set()
    write(project, update | {"mirrors": ["elsewhere"]})
    assert project.planned(target) == {f"Preparing the data set {name}"}


def test_shipped_runs_are_planned(project: Project) -> None:
    shutil.rmtree(project.folder / "config")
    shutil.copytree(ROOT / "config", project.folder / "config")
    for arguments, jobs in {(): 100, ("--configfile", "config/subset.yaml"): 100}.items():
        planned = project.planned(*arguments)
        assert len(planned) > jobs
        assert "Drawing the figure laplacian_compact" in planned
    planned = project.planned("--configfile", "config/examples/deepinv.yaml")
    assert {"Reconstructing inpainting by deepinv_tv, part 0", "Training lpn_inpainting"} <= planned


def test_a_longer_training_goes_on_from_the_shorter_one(project: Project) -> None:
    model = "results/tiny/models/laplacian_l2/model.pt"
    project.snakemake(model)
    write(project, {"models": {"laplacian_l2": {"phases": [{"loss": "l2", "steps": 400, "lr": 1e-2}]}}})
    assert project.planned(model) == {"Training laplacian_l2"}
    project.snakemake(model)
    assert "going on from step 300 of 400" in (project.folder / "logs/tiny/train/laplacian_l2.log").read_text()
    states = list((project.folder / "results/tiny/checkpoints/laplacian_l2").rglob("*.pt"))
    assert len({path.name.partition(".")[0] for path in states}) == 2  # the shorter one's state is kept
