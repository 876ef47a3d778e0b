# The bytes are the same, checked, from every source, so another source must not rerun everything: Snakemake takes params that
# are functions of the output as derived, and derived params trigger no reruns.
rule fetch_mnist:
    output:
        PREPARED / "mnist.npy",
    log:
        LOGS / "fetch_mnist.log",
    benchmark:
        LOGS / "benchmarks/fetch_mnist.tsv"
    retries: 2
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        folder=lambda wildcards, output: DATA,
        mirrors=lambda wildcards, output: MIRRORS,
        code=fingerprint("scripts/fetch_mnist.py"),
    message:
        "Fetching MNIST"
    shell:
        "python scripts/fetch_mnist.py --folder {params.folder:q} --mirror {params.mirrors} "
        "--output {output:q} > {log:q} 2>&1"
