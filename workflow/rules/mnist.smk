rule mnist_prior:
    input:
        unpack(lambda wildcards: certified(wildcards.model)),
        data=prepared_files("mnist"),
    output:
        prior=OUT / "mnist/prior/{model}/{perturbation}.csv",
        arrays=OUT / "mnist/prior/{model}/{perturbation}.npz",
    log:
        LOGS / "mnist_prior/{model}_{perturbation}.log",
    benchmark:
        LOGS / "benchmarks/mnist_prior_{model}_{perturbation}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=per_attempt(8000),
        runtime=per_attempt(120),
    params:
        spec=perturbation_spec,
        data=lambda wildcards, input: data_option(input.data),
        code=fingerprint("scripts/mnist_prior.py"),
    message:
        "Evaluating the prior that {wildcards.model} learned, {wildcards.perturbation}"
    shell:
        "python scripts/launch.py --gpus {resources.gpu} scripts/mnist_prior.py --spec {params.spec:q} --model {input.model:q} {params.data} "
        "--output {output.prior:q} --arrays {output.arrays:q} --threads {threads} > {log:q} 2>&1"


rule mnist_figure:
    input:
        prior=OUT / "mnist/prior" / config["mnist"]["model"] / "{perturbation}.csv",
        arrays=OUT / "mnist/prior" / config["mnist"]["model"] / "{perturbation}.npz",
        notebook="workflow/notebooks/mnist_{kind}.ipynb",
    output:
        pdf=OUT / "figures/mnist_{perturbation}_{kind}.pdf",
        png=report(
            OUT / "figures/mnist_{perturbation}_{kind}.png",
            caption="../report/mnist.rst",
            category="MNIST",
            labels={"figure": "{perturbation}, {kind}", "format": "picture"},
        ),
        html=report(
            OUT / "figures/mnist_{perturbation}_{kind}.html",
            caption="../report/notebook.rst",
            category="MNIST",
            labels={"figure": "{perturbation}, {kind}", "format": "notebook"},
        ),
    log:
        run=LOGS / "figures/mnist_{perturbation}_{kind}.log",
        notebook=LOGS / "figures/mnist_{perturbation}_{kind}.ipynb",
    benchmark:
        LOGS / "benchmarks/figure_mnist_{perturbation}_{kind}.tsv"
    wildcard_constraints:
        kind="grid|violin",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        spec=perturbation_figure_spec,
        code=fingerprint("scripts/render_notebook.py"),
    message:
        "Drawing the MNIST {wildcards.kind} figure, {wildcards.perturbation}"
    shell:
        "python scripts/render_notebook.py {input.notebook:q} --spec {params.spec:q} --executed {log.notebook:q} "
        "--pdf {output.pdf:q} --set prior={input.prior:q} arrays={input.arrays:q} > {log.run:q} 2>&1"
