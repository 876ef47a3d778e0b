# Where the data come from is no param: the bytes are the same, checked, from every source.
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
        code=fingerprint("scripts/fetch_mnist.py"),
    message:
        "Fetching MNIST"
    shell:
        "python scripts/fetch_mnist.py --folder {DATA:q} --mirror {MIRRORS} " "--output {output:q} > {log:q} 2>&1"
