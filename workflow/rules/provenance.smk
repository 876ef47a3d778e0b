# What made the results, written after the last of them. The configuration is a param that depends on the output, so that
# it reruns nothing by itself: what a new value changes, the jobs that it belongs to make again, and then this record.
rule provenance:
    input:
        results=[rules.figures.input, rules.tables.input, rules.page.output],
        data=[file for data in config["data"] for file in PLAN.data_files(data)]
        + [file for pairs in PLAN.pairs for file in LAYOUT.pairs(pairs)],
    output:
        OUT / "provenance/provenance.json",
        OUT / "provenance/config.yaml",
        OUT / "provenance/requirements.lock",
        OUT / "provenance/changes.patch",
        OUT / "provenance/jobs.csv",
        report(
            OUT / "provenance/provenance.md",
            caption="../report/provenance.rst",
            category="Provenance",
            labels={"record": "code, configuration, data, machines, cost"},
        ),
    log:
        LOGS / "provenance.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        config=lambda wildcards, output: ARTIFACTS.text_file("config.json", canonical(config)),
        logs=lambda wildcards, output: LOGS,
        results=lambda wildcards, output: ARTIFACTS.list_file("results", ARTIFACTS.results),
        files=lambda wildcards, output: shlex.join(RESOLVED["files"]),
        folder=lambda wildcards, output: Path(output[0]).parent,
        code=PLAN.code("provenance"),
    message:
        "Recording what made the results"
    shell:
        f"{PYTHON}provenance.py "
        "--config {params.config:q} --data {input.data:q} --files {params.files} "
        "--results {params.results:q} --logs {params.logs:q} "
        "--output {params.folder:q} > {log:q} 2>&1"
