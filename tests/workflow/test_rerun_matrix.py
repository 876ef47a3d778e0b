"""Edits, one at a time, in a finished run: exactly the jobs that depend on each would run again."""

import collections
import contextlib
import copy
import importlib.metadata
import io
import itertools
import json
import os
import random
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from playwright.sync_api import expect
from ruamel.yaml import YAML

from .browser import needs_browser, opened
from .conftest import MEDIAN, TINY, Project, kill_tree, prepared

TRAIN = {name: f"Training {name}" for name in TINY["models"]}
LPNS = [name for name in TINY["models"] if name != "dncnn"]
CERTIFY = {name: f"Certifying {name}" for name in LPNS}
CURVES = {name: f"Evaluating the prox, potential and prior of {name}" for name in ("laplacian_l2", "laplacian_pm")}
PRIOR = {"Evaluating the prior that mnist learned, gaussian"}
STEPS = {"Repeating proximal steps of mnist"}
FIGURE = {
    name: f"Drawing the figure {name}"
    for name in (
        *("laplacian_compact", "mnist_gaussian_grid", "mnist_gaussian_violin", "mnist_steps"),
        *("deblur_comparison", "deblur_convergence"),
    )
}
COMPACT = {FIGURE["laplacian_compact"]}
GRID, VIOLIN = {FIGURE["mnist_gaussian_grid"]}, {FIGURE["mnist_gaussian_violin"]}
TABLE = {name: f"Making the table {name}" for name in ("certificates", "laplacian", "mnist", "deblurring", "published")}
MEASURE = {
    f"Measuring {part} of deblur, part {i}" for part, i in (("test images", 0), ("test images", 1), ("validation images", 0))
}
TUNE = {*(f"Tuning tv for deblur, values {value}" for value in (0.05, 0.1)), "Choosing the parameters of tv for deblur"}


def reconstruct(*methods: str) -> set[str]:
    """Return the jobs that reconstruct by some methods."""
    return {f"Reconstructing deblur by {method}, part {part}" for method in methods for part in range(2)}


SHOWN = {FIGURE["deblur_comparison"], FIGURE["deblur_convergence"], TABLE["deblurring"]}
CURVE_RESULTS = {*CURVES.values(), *COMPACT, TABLE["laplacian"], TABLE["published"]}
STEP_RESULTS = {*STEPS, FIGURE["mnist_steps"]}
PRIOR_RESULTS = {*PRIOR, *GRID, *VIOLIN, TABLE["mnist"], TABLE["published"]}
RECONSTRUCT = reconstruct("observation", "tv", "lpn", "dncnn", "plug_in")
CERTIFICATES = {*CERTIFY.values(), TABLE["certificates"]}
RESULTS = CURVE_RESULTS | PRIOR_RESULTS | STEP_RESULTS
LAST = {"Making the page of the run", "Recording what made the results"}  # after any other job
OF_FACES = {CERTIFY["faces"], TABLE["certificates"]} | reconstruct("lpn") | SHOWN
OF_MNIST = {CERTIFY["mnist"], TABLE["certificates"]} | PRIOR_RESULTS | STEP_RESULTS
OF_SCALARS = {CERTIFY["laplacian_l2"], CERTIFY["laplacian_pm"], TABLE["certificates"]} | CURVE_RESULTS


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
        assert not isinstance(place, dict) or place.get(keys[-1]) != value
        place[keys[-1]] = value
        Project(folder).write_config(config)

    return edit


def notebook_cell(folder: Path) -> None:
    """Change one line of code in a notebook."""
    path = folder / "workflow/notebooks/prior_violin.ipynb"
    notebook = json.loads(path.read_text())
    cell = next(cell for cell in reversed(notebook["cells"]) if cell["cell_type"] == "code")
    cell["source"] = [*cell["source"], "\nlabel = label + ''"]
    path.write_text(json.dumps(notebook))


def new_file(path: str, text: str) -> Callable[[Path], None]:
    """Return an edit that adds a file."""
    return lambda folder: (folder / path).write_text(text) and None


# what an edit touches, and the jobs that run again
EDITS = {
    "nothing": (lambda folder: None, set()),
    # nothing that can change a result
    "comment": (replace("lpn/networks/_icnn.py", "import torch\n", "import torch  # the tensor library\n"), set()),
    "docstring": (replace("lpn/networks/_icnn.py", '"""Return psi(x)', '"""Return the potential psi(x)'), set()),
    "docstring of the package": (replace("lpn/__init__.py", '"""Learned', '"""The learned'), set()),
    "annotation": (replace("lpn/cg.py", "max_iterations: int = 30", "max_iterations: float = 30"), set()),
    "formatting": (replace("lpn/seeds.py", "return np.random", "return  np.random"), set()),
    "word of an error": (replace("lpn/errors.py", "no space left", "no room left"), set()),
    "word of a damaged file": (replace("lpn/checkpoints.py", "truncated or", "cut off or"), set()),
    "record of jobs": (replace("lpn/record.py", "TAIL = 2**16", "TAIL = 2**17"), set()),
    "help of an option": (replace("scripts/_cli.py", "CPU threads", "threads of the CPU"), set()),
    "meaning of a setting": (replace("lpn/solvers/admm.py", '"penalty', '"the penalty'), set()),
    "new operator": (
        new_file(
            "lpn/operators/mine.py", "from lpn.operators import OperatorSettings\n\n\nclass Mine(OperatorSettings): ...\n"
        ),
        set(),
    ),
    "operator that nothing uses": (replace("lpn/operators/tomography.py", "asinh(1)", "asinh(2)"), set()),
    "log_every": (setting("models", "mnist", "logging", "every", value=7), set()),
    "validation images": (setting("models", "mnist", "logging", "validation_images", value=3), set()),
    "unused method": (setting("methods", "unused", value=TINY["methods"]["tv"] | {"title": "Unused"}), set()),
    "data source": (setting("mirrors", value=["elsewhere"]), set()),  # of data that the run did not prepare itself
    # code
    "what all LPNs share": (
        replace("lpn/networks/_icnn.py", "self.lin[1:]]", "list(self.lin)[1:]]"),
        {TRAIN[name] for name in LPNS} | CERTIFICATES | RESULTS | reconstruct("lpn") | SHOWN,
    ),
    "one network": (
        replace("lpn/networks/dncnn.py", "F.relu(layer(z))", "layer(z).relu()"),
        {TRAIN["dncnn"]} | reconstruct("dncnn") | SHOWN,
    ),
    "training": (
        replace("lpn/training/trainer.py", "self.step_count += 1", "self.step_count += 1 * 1"),
        {*TRAIN.values()} | CERTIFICATES | RESULTS | reconstruct("lpn", "dncnn") | SHOWN,
    ),
    "loss": (
        replace("lpn/losses/l1.py", "residual.abs().mean()", "residual.abs().mean() * 1"),
        {TRAIN["mnist"], TRAIN["faces"]} | OF_MNIST | OF_FACES,
    ),
    "augmentation": (
        replace("lpn/augmentations/flips.py", "draws.integers(4", "draws.integers(2 * 2"),
        {TRAIN["faces"]} | OF_FACES,
    ),
    "prior": (
        replace("lpn/prior.py", "square().sum(1) / 2", "square().sum(1) * 0.5"),
        CERTIFICATES | RESULTS | reconstruct("lpn") | SHOWN,
    ),
    "certificate": (
        replace("lpn/certificate.py", "1e-3 * noise", "2e-3 * noise"),
        CERTIFICATES | RESULTS | reconstruct("lpn") | SHOWN,  # nothing uses a network before its certificate
    ),
    "solver's default": (
        replace("lpn/solvers/pgd.py", "0.99 / ", "0.98 / "),
        reconstruct("dncnn", "plug_in") | SHOWN,
    ),
    "operator": (
        replace("lpn/operators/_kernels.py", "max(5, int(3 * sigma)) // 2", "max(5, int(4 * sigma)) // 2"),
        MEASURE | TUNE | RECONSTRUCT | SHOWN,
    ),
    "denoiser": (
        replace("lpn/denoisers/tv.py", "eps=1e-6", "eps=2e-6"),
        TUNE | reconstruct("tv") | SHOWN,
    ),
    "plug-in": (replace("config/median.py", "(1, 1, self.size", "(1, 1, 1 * self.size"), reconstruct("plug_in") | SHOWN),
    "data set": (
        replace("lpn/data/photographs.py", "std() > 20", "std() > 2 * 10"),
        {f"Preparing the data set {prepared('photographs')}", TRAIN["dncnn"]} | reconstruct("dncnn") | SHOWN,
    ),
    "perturbation": (replace("lpn/perturb.py", "(0, 0, level, level)", "[0, 0, level, level]"), PRIOR_RESULTS),
    "notebook": (notebook_cell, VIOLIN),
    "figures": (replace("lpn/figures.py", "2.3 *", "2.4 *"), set(FIGURE.values())),
    "tables": (replace("lpn/tables.py", "std(ddof=0)", "std(ddof=1)"), {*TABLE.values(), *FIGURE.values()}),
    # settings
    "method": (setting("methods", "lpn", "iterations", value=3), reconstruct("lpn") | SHOWN),
    "title of a method": (setting("methods", "lpn", "title", value="Ours"), SHOWN),
    "title of an experiment": (setting("experiments", "deblur", "title", value="Faces"), SHOWN),
    "grid search": (
        setting("methods", "tv", "tune", "prox.weight", value=[0.03, 0.05, 0.1]),
        {"Tuning tv for deblur, values 0.03", "Choosing the parameters of tv for deblur"} | reconstruct("tv") | SHOWN,
    ),
    "noise of the measurements": (
        setting("experiments", "deblur", "noise", value=0.03),
        MEASURE | TUNE | RECONSTRUCT | SHOWN,
    ),
    "unconstrained denoiser": (
        setting("models", "dncnn", "phases", 0, "steps", value=4),
        {TRAIN["dncnn"]} | reconstruct("dncnn") | SHOWN,
    ),
    "imported model": (
        setting("models", "faces", "source", value="../results/tiny/models/mnist/model.pt"),
        {"Importing faces"} | OF_FACES,
    ),
    "published value": (
        replace("config/published.yaml", "published: 3.4", "published: 3.5"),
        {TABLE["published"], TABLE["deblurring"]},
    ),
    "grid of curves": (setting("curves", "laplacian", "grid", "points", value=31), CURVE_RESULTS),
    "levels": (setting("priors", "mnist", "perturbations", "gaussian", "levels", value=[0, 0.2]), PRIOR_RESULTS),
    "range of errors": (setting("curves", "laplacian", "shown", value=1.0), COMPACT | {TABLE["laplacian"]}),
    "shown rows": (setting("priors", "mnist", "perturbations", "gaussian", "rows", value=[1]), GRID),
    "learning rate": (
        setting("models", "mnist", "phases", 0, "lr", value=2e-3),
        {TRAIN["mnist"]} | OF_MNIST,
    ),
    "swapped values": (
        setting("certificate", value={"points": 5, "lanczos_steps": 4}),
        CERTIFICATES | RESULTS | reconstruct("lpn") | SHOWN,
    ),
    "last scalar model": (
        setting("models", "laplacian_pm", "phases", 0, "loss", "gamma", value=[0.4]),
        {TRAIN["laplacian_pm"]} | OF_SCALARS - {CERTIFY["laplacian_l2"], CURVES["laplacian_l2"]},
    ),
    "first scalar model": (
        setting("models", "laplacian_l2", "sigma", value=0.9),
        {TRAIN["laplacian_l2"], TRAIN["laplacian_pm"]} | OF_SCALARS,
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_exactly_the_dependent_jobs_rerun(finished: Project, name: str) -> None:
    edit, expected = EDITS[name]

    def sources() -> list[Path]:
        found = [path for part in ("lpn", "scripts", "workflow", "config") for path in (finished.folder / part).rglob("*.*")]
        return [path for path in found if path.is_file() and "__pycache__" not in path.parts]

    originals = {path: path.read_bytes() for path in sources()}
    try:
        edit(finished.folder)
        assert finished.planned() == expected | (LAST if expected else set())
    finally:
        for path in sources():
            if path not in originals:
                path.unlink()
            elif path.read_bytes() != originals[path]:
                path.write_bytes(originals[path])


def test_other_metrics_redraw_the_figure_that_prints_them(finished: Project) -> None:
    path = finished.folder / "results/tiny/experiments/deblur/lpn/0.csv"
    original = path.read_bytes()
    try:
        path.write_bytes(original.replace(b"psnr", b"PSNR"))
        assert finished.planned() == {FIGURE["deblur_comparison"], TABLE["deblurring"], *LAST}
    finally:
        path.write_bytes(original)


def test_every_artifact_is_there_and_labelled(finished: Project) -> None:
    results = finished.folder / "results/tiny"
    figures = {path.name for path in (results / "figures").iterdir()}
    names = (
        "laplacian_compact",
        "mnist_gaussian_grid",
        "mnist_gaussian_violin",
        "mnist_steps",
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
    assert list(deblurring["method"]) == ["Observed", "TV", "Median", "DnCNN", "LPN"]
    assert set(deblurring["images"]) == {3}
    assert np.isfinite(deblurring[["psnr_mean", "psnr_std", "ssim_mean", "ssim_std"]]).all(axis=None)
    curve = pd.read_csv(results / "experiments/deblur/lpn/0_iterations.csv")
    assert {"psnr", "ssim", "primal", "dual", "data_term", "regulariser", "objective"} <= set(curve.columns)
    assert "objective" not in pd.read_csv(results / "experiments/deblur/dncnn/0_iterations.csv").columns
    logs = finished.folder / "logs/tiny"
    assert (logs / "train/mnist.log").read_text()
    jobs = {"train": 5, "certify": 4, "curves": 2, "prior": 2, "figures": 6, "tables": 5}
    jobs |= {"measure": 3, "tune": 2, "choose": 1, "reconstruct": 10}
    jobs |= {"prepare_data": 1, "page": 1}
    assert len(list((logs / "benchmarks").iterdir())) == sum(jobs.values())
    assert_provenance(results / "provenance", sum(jobs.values()))


def assert_provenance(folder: Path, jobs: int) -> None:
    """Assert that a run's record is complete."""
    record = json.loads((folder / "provenance.json").read_text())
    assert record["git"]["commit"] is None  # the copy is no repository
    assert record["seeds"]["models.laplacian_l2.seed"] == 1
    assert record["config"] == YAML(typ="safe", pure=True).load(folder / "config.yaml")
    assert {name: record["config"][name] for name in ("run", "label", "make")} == {
        name: TINY[name] for name in ("run", "label", "make")
    }
    assert record["config"]["models"]["mnist"]["phases"][0]["steps"] == 5
    assert record["data"][f"data/prepared/{prepared('mnist')}/train.npy"]["bytes"] == 128 + 10 * 784
    assert record["mixed"] == {}
    training = record["jobs"]["train/mnist"]
    assert training["packages"]["torch"].startswith(importlib.metadata.version("torch"))
    assert (training["device"], training["threads"]) == ("cpu", 1)
    assert all(result["job"] for result in record["results"].values())
    assert record["results"]["results/tiny/models/mnist/model.pt"]["job"] == "train/mnist"
    assert record["plug_ins"] == {"config/median.py": MEDIAN}
    assert all(len(values["sha256"]) == 64 for values in record["data"].values())
    assert len(record["data"]) == 9
    costs = pd.read_csv(folder / "jobs.csv")
    assert len(costs) == jobs
    assert (costs["seconds"] > 0).all()
    assert "train/mnist" in (folder / "provenance.md").read_text()


def test_archive_verifies_itself(finished: Project, tmp_path: Path) -> None:
    archive = tmp_path / "tiny.zip"
    command = [sys.executable, "scripts/archive.py", "results/tiny", "--logs", "logs/tiny", "--output", str(archive)]
    subprocess.run(command, cwd=finished.folder, check=True)
    content = archive.read_bytes()
    subprocess.run(command, cwd=finished.folder, check=True)
    assert archive.read_bytes() == content  # the same files make the same archive
    with zipfile.ZipFile(archive) as file:
        entities = {entity["@id"]: entity for entity in json.loads(file.read("ro-crate-metadata.json"))["@graph"]}
        names = set(file.namelist())
    assert entities["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert {part["@id"] for part in entities["./"]["hasPart"]} == names - {"ro-crate-metadata.json"}
    run = "results/tiny"
    assert {f"{run}/models/mnist/model.pt", f"{run}/tables/mnist.csv", f"{run}/provenance/provenance.json"} <= names
    assert {
        f"{run}/figures/laplacian_compact.pdf",
        "lpn/networks/_icnn.py",
        "workflow/Snakefile",
        "config/paper.yaml",
    } <= names
    assert not [name for name in names if name.startswith(f"{run}/checkpoints") or name.endswith(".npz")]
    assert verify(archive) == (0, "")
    for edit, problem in {
        "drop": "results/tiny/tables/mnist.csv is missing",
        "change": "results/tiny/tables/mnist.csv is damaged",
        "add": "added.txt is not described",
    }.items():
        rewrite(archive, content, edit)
        assert verify(archive) == (1, f"error: {archive} is not intact: {problem}. Fetch or make it again.\n")
    archive.write_bytes(content[: len(content) // 2])
    assert "truncated, damaged or no archive" in verify(archive)[1]


def rewrite(archive: Path, content: bytes, edit: str) -> None:
    """Write an archive anew with one table dropped or changed, or a file added."""
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(archive, "w") as new:
        for name in old.namelist():
            touched = name == "results/tiny/tables/mnist.csv"
            if not (touched and edit == "drop"):
                new.writestr(name, b"better numbers" if touched and edit == "change" else old.read(name))
        if edit == "add":
            new.writestr("added.txt", "")


def verify(archive: Path) -> tuple[int, str]:
    """Run an archive's verification; return its exit code and its error message."""
    script = Path(__file__).parent.parent.parent / "scripts/verify_archive.py"
    run = subprocess.run([sys.executable, str(script), str(archive)], check=False, capture_output=True, text=True)
    return run.returncode, run.stderr


def test_the_record_names_every_result(finished: Project) -> None:
    lines = finished.snakemake("--summary").stdout.splitlines()[1:]
    made = {line.split("\t")[0] for line in lines}
    record = json.loads((finished.folder / "results/tiny/provenance/provenance.json").read_text())
    assert record["results"].keys() == {path for path in made if path.startswith("results/") and "/provenance/" not in path}


def test_second_run_does_nothing(finished: Project) -> None:
    run = finished.snakemake()
    assert "Nothing to be done" in run.stdout + run.stderr
    assert finished.planned("all") == set()


def test_report_is_made(finished: Project) -> None:
    finished.snakemake("--report", "report.html")
    report = (finished.folder / "report.html").read_text()
    for word in ("Scalar networks", "Learned priors", "Inverse problems", "Tables", "tiny test run"):
        assert word in report


@needs_browser
def test_report_shows_tables_in_place_and_leads_to_the_page(finished: Project) -> None:
    finished.snakemake("--report", "report.html")
    with opened(finished.folder / "report.html") as shown:
        shown.get_by_text("Tables", exact=True).click()
        shown.locator("[iconname=eye]").first.click()
        frame = shown.frame_locator("iframe")
        expect(frame.locator("tbody tr")).to_have_count(4)  # certificates, the first table
        shown.reload()
        shown.locator("a.external").click()  # in the description
        shown.locator("[iconname=eye]").first.click()
        expect(frame.locator("img")).to_have_count(len(FIGURE))


# Kills

KINDS = [  # scripts in the order of the DAG
    *("prepare_data", "train", "certify", "curves", "prior", "proximal_steps", "measure", "reconstruct", "choose"),
    *("render_notebook", "make_table", "make_page", "provenance"),
]


def running_scripts(snakemake: subprocess.Popen) -> list[tuple[str, psutil.Process]]:
    """Return the kinds of the jobs that run below a Snakemake process, with their processes."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(snakemake.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                names = {Path(word).stem for word in process.cmdline()} & set(KINDS)
                found += [(name, process) for name in names if "python" in process.name()]
    return found


def finished_jobs(log: Path) -> list[str]:
    """Return the messages of the jobs that finished in one run of Snakemake."""
    text = log.read_text()
    messages = dict(re.findall(r"^Job (\d+): (.*)$", text, re.MULTILINE))
    return [messages[number] for number in re.findall(r"^Finished jobid: (\d+) ", text, re.MULTILINE) if number in messages]


def run_with_kills(project: Project, targets: list[str], goal: str, folder: Path) -> list[Path]:
    """Run to the end on two cores and return the logs of the runs that it took.

    For each target, a kind of job, in the order of the DAG: when one of it or of a later kind runs, after a random time,
    SIGKILL all processes, or, every other time, one job alone.
    """
    draws, logs, killed, tree = random.Random(0), [], collections.Counter(), True
    command = ["snakemake", "--cores", "2", "--resources", "gpu=2", "--", goal]
    while True:
        logs.append(folder / f"run{len(logs)}.log")
        with logs[-1].open("w") as log:
            run = subprocess.Popen(command, cwd=project.folder, env=project.environment(), stdout=log, stderr=log)
        while run.poll() is None:
            kinds = [KINDS.index(kind) for kind, _ in running_scripts(run)]
            if not targets or max(kinds, default=-1) < KINDS.index(targets[0]):
                time.sleep(0.05)
                continue
            alone = max(kinds) >= KINDS.index("make_page")  # the last jobs are short, and nothing runs beside them
            time.sleep(draws.uniform(0, 0.5 if alone else 4))  # about as long as a job
            jobs = running_scripts(run)
            if not jobs:
                continue
            targets = targets[1:]
            killed.update(kind for kind, _ in (jobs if tree else jobs[:1]))
            if tree:
                kill_tree(run)
                project.snakemake("--unlock")
            else:
                with contextlib.suppress(psutil.NoSuchProcess):
                    jobs[0][1].kill()
            tree = not tree
        if run.returncode == 0:
            print(f"killed: {dict(killed)}, in {len(logs)} runs; targets left: {targets}")
            assert not targets
            return logs
        assert len(logs) <= 50, logs[-1].read_text()[-5000:]


@pytest.mark.skipif("LPN_KILLS" not in os.environ, reason="takes long: make test-faults")
@pytest.mark.timeout(5000)
def test_kills_lose_nothing_and_cores_do_not_matter(finished: Project, project: Project, tmp_path: Path) -> None:
    """SIGKILL at random moments of every kind of job, on two cores: the tables of an undisturbed run on one core.

    `make test-faults` kills 30 times; fewer kills than there are kinds of jobs make no figures.
    """
    kills = int(os.environ["LPN_KILLS"])
    everything = kills >= len(KINDS)
    kinds = KINDS if everything else ["train", "prior", "reconstruct", "make_table"]
    targets = sorted(itertools.islice(itertools.cycle(kinds), kills), key=KINDS.index)
    logs = run_with_kills(project, targets, "all" if everything else "tables", tmp_path)
    done = collections.Counter(job for log in logs for job in finished_jobs(log))
    assert [job for job, times in done.items() if times > 1] == []  # no finished work is done again
    tables = sorted((finished.folder / "results/tiny/tables").iterdir())
    assert len(tables) == 4 * len(TABLE)
    for table in tables:
        assert (project.folder / "results/tiny/tables" / table.name).read_bytes() == table.read_bytes(), table.name
