rule table:
    input:
        files=lambda wildcards: table_inputs(wildcards.table),
        arrays=lambda wildcards: table_arrays(wildcards.table),
        published=lambda wildcards: PUBLISHED if wildcards.table in ["published", *RESULT_TABLES] else [],
    output:
        csv=OUT / "tables/{table}.csv",
        markdown=report(
            OUT / "tables/{table}.md",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        latex=OUT / "tables/{table}.tex",
    log:
        LOGS / "tables/{table}.log",
    benchmark:
        LOGS / "benchmarks/table_{table}.tsv"
    wildcard_constraints:
        table="|".join(TABLES),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        label=config["label"],
        options=lambda wildcards: table_options(wildcards.table),
        published=lambda wildcards, input: option("published", input.published),
        code=fingerprint("scripts/make_table.py"),
    message:
        "Making the table {wildcards.table}"
    shell:
        "python scripts/make_table.py {wildcards.table} {input.files:q} --label {params.label:q} "
        "{params.options} {params.published} --output {output.csv:q} > {log:q} 2>&1"
