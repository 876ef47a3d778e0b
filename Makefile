# Every target does its own set-up, in .venv.
PYTHON ?= python3
CORES ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count())")
# resource of `make demo`: on a machine without a GPU, as many training jobs as cores at a time
GPUS ?= $(shell nvidia-smi -L 2> /dev/null | grep -c ^GPU | sed 's/^0$$/$(CORES)/')
CONFIG ?= config/demo.yaml
# sets the shell's variable run to the name of the run that CONFIG, one or more files, defines
NAME_RUN = run=$$(python workflow/configuration.py $(CONFIG))
KILLS ?= 30
SNAKEMAKE = snakemake --cores $(CORES) --configfile $(CONFIG)
READY = .venv/ready

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export UV_HTTP_TIMEOUT = 300

.PHONY: help demo paper paper-mnist page browser test test-faults test-slurm slurm-packages lint format docs docs-settings bench report verify archive lock clean

help: ## what each target gives
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit('error: Python 3.11 or later is needed, this is ' + sys.version.split()[0] + '. Name another one: make PYTHON=python3.12 ...' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --constraint requirements.lock uv
	.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --requirement requirements.lock
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --editable .
	touch $@

demo: $(READY) ## Laplace samples at the paper's settings, digits by a trained and a reduced network, in results/demo/
	$(SNAKEMAKE) --resources gpu=$(GPUS)
	@$(NAME_RUN) && echo "All results on one page: results/$$run/index.html"

paper: $(READY) ## the papers' settings, in results/paper/ (a GPU is advised)
	snakemake --cores $(CORES)

paper-mnist: CONFIG = config/mnist.yaml
paper-mnist: demo ## the MNIST figures at the paper's settings, in results/mnist/ (a GPU is advised)

page: $(READY) ## the page of the run that CONFIG names, finished or not, results/<run>/index.html
	$(NAME_RUN) && python workflow/page.py $(CONFIG) --output .snakemake/lpn/runs/$$run/page.json && \
		python scripts/make_page.py --spec .snakemake/lpn/runs/$$run/page.json --logs logs/$$run --output results/$$run/index.html

test: $(READY) browser ## all tests
	pytest --numprocesses 2 --dist loadfile

test-faults: $(READY) ## 30 kills at random moments, and the tables of an undisturbed run
	LPN_KILLS=$(KILLS) pytest tests/workflow/test_rerun_matrix.py -k kills -s

test-slurm: $(READY) slurm-packages ## the workflow on a one-node Slurm on this machine (root, Debian)
	uv pip install --quiet --compile-bytecode --python .venv/bin/python --constraint requirements.lock --editable '.[slurm]'
	LPN_SLURM=1 pytest tests/workflow/test_slurm.py

browser: # for the tests of pages, where it can be installed (root, Debian); they are skipped where it can't
	@command -v chromium > /dev/null || { command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ] && apt-get update --quiet=2 && \
		DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends chromium > /dev/null; } || \
		echo "Without chromium the tests of pages are skipped. On Debian: apt-get install chromium" >&2

slurm-packages:
	command -v slurmctld slurmd munged > /dev/null || { apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive \
		apt-get install --quiet=2 --yes --no-install-recommends slurmctld slurmd slurm-client munge > /dev/null; }

lint: $(READY) ## style, types, spelling, workflow lint
	ruff check .
	ruff check --preview --select PLW1514 lpn scripts workflow # files are UTF-8 in any locale
	ruff format --check .
	basedpyright --level error
	snakefmt --check workflow
	codespell
	snakemake --lint
	snakemake --lint --configfile config/demo.yaml
	snakemake --lint --configfile config/subset.yaml

format: $(READY) ## rewrite Python and Snakemake files in the project's style
	ruff check --fix .
	ruff format .
	snakefmt workflow

docs: $(READY) ## the documentation site, in site/; open site/index.html
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

docs-settings: $(READY) ## write docs/settings.md, docs/published.md and the JSON schema
	python workflow/document.py docs

bench: $(READY) ## speed and memory, ours beside the plain formulation
	python tests/benchmark.py

report: $(READY) ## one self-contained HTML page of the run that CONFIG names (config/demo.yaml)
	$(NAME_RUN) && $(SNAKEMAKE) --report results/$$run/report.html

verify: $(READY) ## whether the run that CONFIG names has the bytes, code, settings and data of its record
	python scripts/verify_run.py --configfile $(CONFIG)

archive: $(READY) ## the finished run that CONFIG names in one file that describes and verifies itself, results/<run>.zip
	$(NAME_RUN) && python scripts/archive.py results/$$run --logs logs/$$run --output results/$$run.zip && python results/$$run.zip

lock: $(READY) ## write requirements.lock again from pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-header --no-annotate pyproject.toml --output-file requirements.lock

clean: ## remove the results and logs of the demo; data/ and other runs stay
	rm -rf results/demo logs/demo
