rule laplacian_curves:
    input:
        unpack(lambda wildcards: certified(wildcards.model)),
    output:
        OUT / "laplacian/curves/{model}.csv",
    log:
        LOGS / "laplacian_curves/{model}.log",
    benchmark:
        LOGS / "benchmarks/laplacian_curves_{model}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        spec=curve_spec,
        code=fingerprint("scripts/laplacian_curves.py"),
    message:
        "Evaluating the prox, potential and prior of {wildcards.model}"
    shell:
        "python scripts/laplacian_curves.py --spec {params.spec:q} --model {input.model:q} --output {output:q} "
        "> {log:q} 2>&1"


rule laplacian_figure:
    input:
        curves=lambda wildcards: curve_files(config["laplacian"]["figures"][wildcards.figure]),
        notebook="workflow/notebooks/laplacian.ipynb",
    output:
        pdf=OUT / "figures/laplacian_{figure}.pdf",
        png=report(
            OUT / "figures/laplacian_{figure}.png",
            caption="../report/laplacian.rst",
            category="Laplacian",
            labels={"figure": "{figure}", "format": "picture"},
        ),
        html=report(
            OUT / "figures/laplacian_{figure}.html",
            caption="../report/notebook.rst",
            category="Laplacian",
            labels={"figure": "{figure}", "format": "notebook"},
        ),
    log:
        run=LOGS / "figures/laplacian_{figure}.log",
        notebook=LOGS / "figures/laplacian_{figure}.ipynb",
    benchmark:
        LOGS / "benchmarks/figure_laplacian_{figure}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        spec=laplacian_figure_spec,
        code=fingerprint("scripts/render_notebook.py"),
    message:
        "Drawing the Laplacian figure, {wildcards.figure}"
    shell:
        "python scripts/render_notebook.py {input.notebook:q} --spec {params.spec:q} --executed {log.notebook:q} "
        "--pdf {output.pdf:q} > {log.run:q} 2>&1"
