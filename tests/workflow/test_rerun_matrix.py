"""Edits, one at a time, in a finished run: exactly the jobs that depend on each would run again."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from .conftest import TINY, Project

TRAIN = {name: f"Training {name}" for name in TINY["models"]}
LPNS = [name for name in TINY["models"] if name != "dncnn"]
CERTIFY = {name: f"Certifying that {name} is a proximal operator" for name in LPNS}
CURVES = {name: f"Evaluating the prox, potential and prior of {name}" for name in ("laplacian_l2", "laplacian_pm")}
PRIOR = {"Evaluating the learned prior of MNIST, gaussian"}
LAPLACIAN_FIGURE = {"Drawing the Laplacian figure, compact"}
GRID, VIOLIN = {"Drawing the MNIST grid figure, gaussian"}, {"Drawing the MNIST violin figure, gaussian"}
TABLE = {name: f"Making the table {name}" for name in ("certificates", "laplacian", "mnist", "deblurring", "published")}
MEASURE = {f"Measuring {part} of deblur, part {i}" for part, i in (("test images", 0), ("test images", 1), ("validation images", 0))}
TUNE = {*(f"Tuning tv for deblur, grid point {i}" for i in range(2)), "Choosing the parameters of tv for deblur"}
COMPARISON, CONVERGENCE = "Drawing the comparison figure of deblur", "Drawing the convergence figure of deblur"


def reconstruct(*methods: str) -> set[str]:
    """Return the jobs that reconstruct by some methods."""
    return {f"Reconstructing deblur by {method}, part {part}" for method in methods for part in range(2)}



LAPLACIAN_RESULTS = {*CURVES.values(), *LAPLACIAN_FIGURE, TABLE["laplacian"], TABLE["published"]}
MNIST_RESULTS = {*PRIOR, *GRID, *VIOLIN, TABLE["mnist"], TABLE["published"]}
INVERSE_SHOWN = {COMPARISON, CONVERGENCE, TABLE["deblurring"], TABLE["published"]}
RECONSTRUCT = reconstruct("observation", "tv", "lpn", "dncnn")
INVERSE_RESULTS = RECONSTRUCT | INVERSE_SHOWN
CERTIFICATES = {*CERTIFY.values(), TABLE["certificates"]}
RESULTS = LAPLACIAN_RESULTS | MNIST_RESULTS
PROVENANCE = "Recording what made the results"  # after any other job
EVERYTHING = {*TRAIN.values(), *CERTIFICATES, *RESULTS, *TUNE, *INVERSE_RESULTS}


def replace(path: str, old: str, new: str) -> Callable[[Path], None]:
    """Return an edit of one file."""

    def edit(folder: Path) -> None:
        text = (folder / path).read_text()
        assert old in text
        (folder / path).write_text(text.replace(old, new, 1))

    return edit


def setting(*keys: str | int, value: object) -> Callable[[Path], None]:
    """Return an edit of one value of the configuration."""

    def edit(folder: Path) -> None:
        config = copy.deepcopy(TINY)
        place = config
        for key in keys[:-1]:
            place = place[key]
        assert place[keys[-1]] != value
        place[keys[-1]] = value
        Project(folder).write_config(config)

    return edit


def notebook_cell(folder: Path) -> None:
    """Change one line of code in a notebook."""
    path = folder / "workflow/notebooks/mnist_violin.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][2]["source"] = [*notebook["cells"][2]["source"], "\nvalues = values + 0"]
    path.write_text(json.dumps(notebook))


EDITS = {
    "nothing": (lambda folder: None, set()),
    "comment": (replace("lpn/networks.py", "import torch\n", "import torch  # the tensor library\n"), set()),
    "docstring": (replace("lpn/networks.py", '"""Return psi(x)', '"""Return the potential psi(x)'), set()),
    "network": (replace("lpn/networks.py", "self.lin[1:]]", "list(self.lin)[1:]]"), EVERYTHING),
    "training": (replace("lpn/training.py", "self.step_count += 1", "self.step_count += 1 * 1"), EVERYTHING),
    "prior": (
        replace("lpn/prior.py", "square().sum(1) / 2", "square().sum(1) * 0.5"),
        CERTIFICATES | RESULTS | reconstruct("lpn") | INVERSE_SHOWN,
    ),
    "certificate": (
        replace("lpn/certificate.py", "1e-3 * noise", "2e-3 * noise"),
        CERTIFICATES | RESULTS | reconstruct("lpn") | INVERSE_SHOWN,  # nothing uses a network before its certificate
    ),
    "solver": (replace("lpn/solvers.py", "0.99 * limit", "0.98 * limit"), TUNE | INVERSE_RESULTS),
    "operator": (
        replace("lpn/operators.py", "radius = max(5, int(3 * sigma)) // 2", "radius = max(5, int(4 * sigma)) // 2"),
        MEASURE | TUNE | INVERSE_RESULTS,
    ),
    "method": (
        setting("inverse", "methods", "lpn", "iterations", value=3),
        reconstruct("lpn") | INVERSE_SHOWN,
    ),
    "title of a method": (
        setting("inverse", "methods", "lpn", "title", value="Ours"),
        {COMPARISON, CONVERGENCE, TABLE["deblurring"]},
    ),
    "grid search": (
        setting("inverse", "methods", "tv", "tune", "prox.weight", value=[0.05, 0.2]),
        {"Tuning tv for deblur, grid point 1", "Choosing the parameters of tv for deblur"}
        | reconstruct("tv")
        | INVERSE_SHOWN,
    ),
    "noise of the measurements": (
        setting("inverse", "experiments", "deblur", "noise", value=0.03),
        MEASURE | TUNE | INVERSE_RESULTS,
    ),
    "unconstrained denoiser": (
        setting("models", "dncnn", "phases", 0, "steps", value=4),
        {TRAIN["dncnn"]} | reconstruct("dncnn") | INVERSE_SHOWN,
    ),
    "perturbation": (replace("lpn/perturb.py", "(0, 0, level, level)", "[0, 0, level, level]"), MNIST_RESULTS),
    "notebook": (notebook_cell, VIOLIN),
    "table": (replace("scripts/make_table.py", "std(ddof=0)", "std(ddof=1)"), set(TABLE.values())),
    "published value": (replace("config/published.yaml", "published: 3.4", "published: 3.5"), {TABLE["published"]}),
    "Laplacian grid": (setting("laplacian", "grid", "points", value=31), LAPLACIAN_RESULTS),
    "MNIST levels": (setting("mnist", "perturbations", "gaussian", "levels", value=[0, 0.2]), MNIST_RESULTS),
    "range of errors": (setting("laplacian", "shown", value=1.0), LAPLACIAN_FIGURE | {TABLE["laplacian"]}),
    "shown rows": (setting("mnist", "perturbations", "gaussian", "rows", value=[1]), GRID | VIOLIN),
    "MNIST learning rate": (
        setting("models", "mnist", "phases", 0, "lr", value=2e-3),
        {TRAIN["mnist"], CERTIFY["mnist"], TABLE["certificates"]} | MNIST_RESULTS,
    ),
    "swapped values": (
        setting("certificate", value={"points": 5, "lanczos_steps": 4, "inversion_tolerance": 1e-3, "seed": 0}),
        CERTIFICATES | RESULTS | reconstruct("lpn") | INVERSE_SHOWN,
    ),
    "data source": (setting("data", "mirrors", value=["elsewhere"]), set()),
    "last Laplacian model": (
        setting("models", "laplacian_pm", "phases", 0, "gamma", value=[0.4]),
        {TRAIN["laplacian_pm"], CERTIFY["laplacian_pm"], TABLE["certificates"]}
        | LAPLACIAN_RESULTS - {CURVES["laplacian_l2"]},
    ),
    "first Laplacian model": (
        setting("models", "laplacian_l2", "sigma", value=0.9),
        {TRAIN["laplacian_l2"], TRAIN["laplacian_pm"], CERTIFY["laplacian_l2"], CERTIFY["laplacian_pm"]}
        | {TABLE["certificates"]}
        | LAPLACIAN_RESULTS,
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_exactly_the_dependent_jobs_rerun(finished: Project, name: str) -> None:
    edit, expected = EDITS[name]
    files = [path for part in ("lpn", "scripts", "workflow", "config") for path in (finished.folder / part).rglob("*.*")]
    originals = {path: path.read_bytes() for path in files if path.is_file()}
    try:
        edit(finished.folder)
        assert finished.planned() == expected | ({PROVENANCE} if expected else set())
    finally:
        for path, content in originals.items():
            if path.read_bytes() != content:
                path.write_bytes(content)


def test_every_artifact_is_there_and_labelled(finished: Project) -> None:
    results = finished.folder / "results/tiny"
    figures = {path.name for path in (results / "figures").iterdir()}
    names = (
        "laplacian_compact",
        "mnist_gaussian_grid",
        "mnist_gaussian_violin",
        "deblur_comparison",
        "deblur_convergence",
    )
    assert figures == {f"{name}.{suffix}" for name in names for suffix in ("pdf", "png", "html")}
    assert all((results / "figures" / name).stat().st_size > 1000 for name in figures)
    for name in TABLE:
        table = pd.read_csv(results / f"tables/{name}.csv")
        assert set(table["scale"]) == {"tiny test run"}
        assert (results / f"tables/{name}.md").read_text().count("\n") == len(table) + 2
        assert r"\begin{tabular}" in (results / f"tables/{name}.tex").read_text()
    certificates = pd.read_csv(results / "tables/certificates.csv")
    assert set(certificates["model"]) == set(LPNS)
    assert certificates["passed"].all()
    published = pd.read_csv(results / "tables/published.csv")
    assert published["source"].notna().all()
    priors = pd.read_csv(results / "tables/mnist.csv")
    assert (priors["inversion_residual"] < 1e-3).all()
    deblurring = pd.read_csv(results / "tables/deblurring.csv")
    assert list(deblurring["method"]) == ["Observed", "TV", "LPN", "DnCNN"]
    assert set(deblurring["images"]) == {3}
    assert np.isfinite(deblurring[["psnr_mean", "psnr_std", "ssim_mean", "ssim_std"]]).all(axis=None)
    curve = pd.read_csv(results / "inverse/deblur/lpn/0_iterations.csv")
    assert {"psnr", "ssim", "primal", "dual", "data_term", "regulariser", "objective"} <= set(curve.columns)
    assert "objective" not in pd.read_csv(results / "inverse/deblur/dncnn/0_iterations.csv").columns
    logs = finished.folder / "logs/tiny"
    assert (logs / "train/mnist.log").read_text()
    jobs = {"train": 5, "certify": 4, "curves": 2, "prior": 1, "figures": 5, "tables": 5}
    jobs |= {"measure": 3, "tune": 2, "choose": 1, "reconstruct": 8}
    assert len(list((logs / "benchmarks").iterdir())) == sum(jobs.values())


def test_second_run_does_nothing(finished: Project) -> None:
    run = finished.snakemake()
    assert "Nothing to be done" in run.stdout + run.stderr
    assert finished.planned("all") == set()


def test_report_is_made(finished: Project) -> None:
    finished.snakemake("--report", "report.html")
    report = (finished.folder / "report.html").read_text()
    for word in ("Laplacian", "MNIST", "Inverse problems", "Tables", "tiny test run"):
        assert word in report
