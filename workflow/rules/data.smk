# The bytes are the same, checked, from every source, so another source must not rerun everything: Snakemake takes params that
# are functions of the output as derived, and derived params trigger no reruns.
rule prepare_data:
    output:
        prepared_files("{data}"),
    log:
        LOGS / "prepare_data/{data}.log",
    benchmark:
        LOGS / "benchmarks/prepare_data_{data}.tsv"
    retries: 2
    conda:
        "../../environment.yml"
    priority: 2  # before any training: missing data show at once, and no network waits for them
    threads: 4
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(120),
    params:
        folder=lambda wildcards, output: DATA,
        mirrors=lambda wildcards, output: MIRRORS,
        images=lambda wildcards: count_option(wildcards.data),
        place=lambda wildcards: PREPARED / wildcards.data,
        code=fingerprint("scripts/prepare_data.py"),
    message:
        "Preparing the data set {wildcards.data}"
    shell:
        "python scripts/prepare_data.py {wildcards.data} --folder {params.folder:q} --mirror {params.mirrors} "
        "{params.images} --output {params.place:q} > {log:q} 2>&1"
