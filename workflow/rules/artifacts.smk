rule figure:
    input:
        files=lambda wildcards: ARTIFACTS.figures[wildcards.figure].files,
        more=lambda wildcards: ARTIFACTS.figures[wildcards.figure].more,
        notebook=lambda wildcards: SOURCE / f"workflow/notebooks/{ARTIFACTS.figures[wildcards.figure].kind}.ipynb",
    output:
        pdf=LAYOUT.figure("{figure}")[0],
        png=report(
            LAYOUT.figure("{figure}")[1],
            caption="../report/figure.rst",
            category=lambda wildcards: ARTIFACTS.figures[wildcards.figure].category,
            subcategory=lambda wildcards: ARTIFACTS.figures[wildcards.figure].name,
            labels={"figure": "{figure}", "format": "picture"},
        ),
        html=report(
            LAYOUT.figure("{figure}")[2],
            caption="../report/notebook.rst",
            category=lambda wildcards: ARTIFACTS.figures[wildcards.figure].category,
            subcategory=lambda wildcards: ARTIFACTS.figures[wildcards.figure].name,
            labels={"figure": "{figure}", "format": "notebook"},
        ),
    log:
        run=LOGS / "figures/{figure}.log",
        notebook=LOGS / "figures/{figure}.ipynb",
    benchmark:
        LOGS / "benchmarks/figures_{figure}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        spec=lambda wildcards: canonical(ARTIFACTS.figures[wildcards.figure].settings),
        caption=lambda wildcards, output: ARTIFACTS.figures[wildcards.figure].caption,
        files=lambda wildcards, output: ARTIFACTS.list_file(
            f"figures/{wildcards.figure}", ARTIFACTS.figures[wildcards.figure].files
        ),
        code=lambda wildcards: fingerprint(
            "scripts/render_notebook.py",
            extra=[ROOT / f"workflow/notebooks/{ARTIFACTS.figures[wildcards.figure].kind}.ipynb"],
        ),
    message:
        "Drawing the figure {wildcards.figure}"
    shell:
        f"{PYTHON}render_notebook.py "
        "{input.notebook:q} --spec {params.spec:q} --list {params.files:q} "
        "--executed {log.notebook:q} --pdf {output.pdf:q} > {log.run:q} 2>&1"


rule table:
    input:
        files=lambda wildcards: ARTIFACTS.tables[wildcards.table].files,
        more=lambda wildcards: ARTIFACTS.tables[wildcards.table].more,
    output:
        csv=LAYOUT.table("{table}"),
        markdown=LAYOUT.table("{table}").with_suffix(".md"),
        html=report(
            LAYOUT.table("{table}").with_suffix(".html"),
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        latex=LAYOUT.table("{table}").with_suffix(".tex"),
    log:
        LOGS / "tables/{table}.log",
    benchmark:
        LOGS / "benchmarks/tables_{table}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        kind=lambda wildcards: ARTIFACTS.tables[wildcards.table].kind,
        spec=lambda wildcards: canonical({**ARTIFACTS.tables[wildcards.table].settings, "label": config["label"]}),
        files=lambda wildcards, output: ARTIFACTS.list_file(
            f"tables/{wildcards.table}", ARTIFACTS.tables[wildcards.table].files
        ),
        code=PLAN.code("make_table"),
    message:
        "Making the table {wildcards.table}"
    shell:
        f"{PYTHON}make_table.py "
        "{params.kind} --list {params.files:q} --spec {params.spec:q} "
        "--output {output.csv:q} > {log:q} 2>&1"
