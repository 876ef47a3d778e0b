# Original data are the same from every source, so another source must not rerun everything: Snakemake takes params that are
# functions of the output as derived, and derived params trigger no reruns. Of a user's own data the source is tracked.
rule prepare_data:
    output:
        split_files("{prepared}"),
    log:
        LOGS / "prepare_data/{prepared}.log",
    benchmark:
        LOGS / "benchmarks/prepare_data_{prepared}.tsv"
    priority: 2  # before any training: missing data show at once, and no network waits for them
    conda:
        "../../environment.yml"
    threads: lambda wildcards: 1 if wildcards.prepared in EMBEDDED else 4  # many files are decoded by 4 threads
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(120),
    params:
        folder=lambda wildcards, output: DATA,
        mirrors=lambda wildcards, output: MIRRORS,
        source=lambda wildcards: unchecked_source(wildcards.prepared),
        name=lambda wildcards: wildcards.prepared.partition("-")[0],
        images=lambda wildcards: count_option(wildcards.prepared),
        place=lambda wildcards: PREPARED / wildcards.prepared,
        code=fingerprint("scripts/prepare_data.py"),
    message:
        "Preparing the data set {wildcards.prepared}"
    shell:
        "python scripts/prepare_data.py {params.name} --folder {params.folder:q} --mirror {params.mirrors} "
        "{params.images} --output {params.place:q} > {log:q} 2>&1"
