# Original data are the same from every source, so another source must not rerun everything. Snakemake regards params that
# are functions of the output as derived, and derived params trigger no reruns. The source of other data is tracked.
rule prepare_data:
    output:
        LAYOUT.data("{prepared}"),
    log:
        LOGS / "prepare_data/{prepared}.log",
    benchmark:
        LOGS / "benchmarks/prepare_data_{prepared}.tsv"
    priority: 2  # before any training: missing data show at once, and no network waits for them
    conda:
        "../../environment.yml"
    threads: 4  # decode images
    resources:
        mem_mb=per_attempt(2000),  # 1.1 GB for CelebA, 0.9 GB for photographs of 12 megapixels, however many
        runtime=per_attempt(120),
    params:
        folder=lambda wildcards, output: LAYOUT.folder,
        mirrors=lambda wildcards, output: shlex.join(config["mirrors"]),
        source=lambda wildcards: PLAN.unchecked_source(PLAN.prepared[wildcards.prepared]),
        spec=lambda wildcards: canonical(config["data"][PLAN.prepared[wildcards.prepared]]),
        place=lambda wildcards, output: Path(output[0]).parent,
        code=lambda wildcards: PLAN.code("prepare_data", PLAN.dataset_settings(PLAN.prepared[wildcards.prepared])),
    message:
        "Preparing the data set {wildcards.prepared}"
    shell:
        f"{PYTHON}prepare_data.py "
        "--spec {params.spec:q} --folder {params.folder:q} --mirror {params.mirrors} "
        "--output {params.place:q} > {log:q} 2>&1"
