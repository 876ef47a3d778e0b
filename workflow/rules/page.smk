# The page of the run: all figures and tables in one file, before the record that lists it among the results. Its content is
# a param that depends on the output, so that it reruns nothing by itself: what it shows is an input.
rule page:
    input:
        results=[rules.figures.input, rules.tables.input],
        template=SOURCE / "workflow/report/page.html",
    output:
        report(
            LAYOUT.page,
            caption="../report/page.rst",
            category="All results on one page",
            labels={"page": "all figures and tables"},
        ),
    log:
        LOGS / "page.log",
    benchmark:
        LOGS / "benchmarks/page.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        spec=lambda wildcards, output: ARTIFACTS.text_file(
            "page.json", canonical(page(ARTIFACTS, workflow.config_settings.configfiles))
        ),
        logs=lambda wildcards, output: LOGS,
        code=PLAN.code("make_page"),
    message:
        "Making the page of the run"
    shell:
        f"{PYTHON}make_page.py " "--spec {params.spec:q} --logs {params.logs:q} --output {output:q} > {log:q} 2>&1"
