rule measure:
    input:
        data=lambda wildcards: prepared_files(measured_data(wildcards.experiment, wildcards.split)),
        kernel=lambda wildcards: kernel_file(wildcards.experiment),
    output:
        OUT / "inverse/{experiment}/measurements/{split}_{part}.npz",
    log:
        LOGS / "measure/{experiment}_{split}_{part}.log",
    benchmark:
        LOGS / "benchmarks/measure_{experiment}_{split}_{part}.tsv"
    priority: 2  # as of data: what does not fit shows before any training
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=measurement_spec,
        data=lambda wildcards, input: data_option(input.data),
        code=fingerprint("scripts/measure.py"),
    message:
        "Measuring {wildcards.split} images of {wildcards.experiment}, part {wildcards.part}"
    shell:
        "python scripts/measure.py --spec {params.spec:q} {params.data} --output {output:q} > {log:q} 2>&1"


rule tune:
    input:
        unpack(lambda wildcards: method_models(wildcards.experiment, wildcards.method)),
        measurement=OUT / "inverse/{experiment}/measurements/validation_0.npz",
        kernel=lambda wildcards: kernel_file(wildcards.experiment),
    output:
        OUT / "inverse/{experiment}/tuning/{method}/{row}.json",
    log:
        LOGS / "tune/{experiment}_{method}_{row}.log",
    benchmark:
        LOGS / "benchmarks/tune_{experiment}_{method}_{row}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=on_gpu,
        mem_mb=per_attempt(8000),
        runtime=per_attempt(120),
    params:
        spec=tuning_spec,
        model=lambda wildcards, input: option("model", input.get("model")),
        code=fingerprint("scripts/tune.py"),
    message:
        "Tuning {wildcards.method} for {wildcards.experiment}, row {wildcards.row} of the grid"
    shell:
        "python scripts/launch.py --gpus {resources.gpu} scripts/tune.py --spec {params.spec:q} --measurement {input.measurement:q} {params.model} "
        "--output {output:q} --threads {threads} > {log:q} 2>&1"


rule choose:
    input:
        tuning_files,
    output:
        OUT / "inverse/{experiment}/tuning/{method}.json",
    log:
        LOGS / "choose/{experiment}_{method}.log",
    benchmark:
        LOGS / "benchmarks/choose_{experiment}_{method}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        code=fingerprint("scripts/choose.py"),
    message:
        "Choosing the parameters of {wildcards.method} for {wildcards.experiment}"
    shell:
        "python scripts/choose.py {input:q} --output {output:q} > {log:q} 2>&1"


rule reconstruct:
    input:
        unpack(lambda wildcards: method_models(wildcards.experiment, wildcards.method)),
        measurement=OUT / "inverse/{experiment}/measurements/test_{part}.npz",
        kernel=lambda wildcards: kernel_file(wildcards.experiment),
        tuned=chosen_parameters,
    output:
        images=OUT / "inverse/{experiment}/{method}/{part}.csv",
        iterations=OUT / "inverse/{experiment}/{method}/{part}_iterations.csv",
        arrays=OUT / "inverse/{experiment}/{method}/{part}.npz",
    log:
        LOGS / "reconstruct/{experiment}_{method}_{part}.log",
    benchmark:
        LOGS / "benchmarks/reconstruct_{experiment}_{method}_{part}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=on_gpu,
        mem_mb=per_attempt(8000),
        runtime=per_attempt(240),
    params:
        spec=reconstruction_spec,
        model=lambda wildcards, input: option("model", input.get("model")),
        tuned=lambda wildcards, input: option("tuned", input.tuned),
        code=fingerprint("scripts/reconstruct.py"),
    message:
        "Reconstructing {wildcards.experiment} by {wildcards.method}, part {wildcards.part}"
    shell:
        "python scripts/launch.py --gpus {resources.gpu} scripts/reconstruct.py --spec {params.spec:q} --measurement {input.measurement:q} {params.model} "
        "{params.tuned} --images {output.images:q} --iterations {output.iterations:q} --arrays {output.arrays:q} "
        "--threads {threads} > {log:q} 2>&1"


rule inverse_figure:
    input:
        files=inverse_figure_files,
        notebook="workflow/notebooks/inverse_{kind}.ipynb",
    output:
        pdf=OUT / "figures/{experiment}_{kind}.pdf",
        png=report(
            OUT / "figures/{experiment}_{kind}.png",
            caption="../report/inverse.rst",
            category="Inverse problems",
            labels={"figure": "{experiment}, {kind}", "format": "picture"},
        ),
        html=report(
            OUT / "figures/{experiment}_{kind}.html",
            caption="../report/notebook.rst",
            category="Inverse problems",
            labels={"figure": "{experiment}, {kind}", "format": "notebook"},
        ),
    log:
        run=LOGS / "figures/{experiment}_{kind}.log",
        notebook=LOGS / "figures/{experiment}_{kind}.ipynb",
    benchmark:
        LOGS / "benchmarks/figure_{experiment}_{kind}.tsv"
    wildcard_constraints:
        kind="comparison|convergence|tuning",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        spec=inverse_figure_spec,
        code=fingerprint("scripts/render_notebook.py"),
    message:
        "Drawing the {wildcards.kind} figure of {wildcards.experiment}"
    shell:
        "python scripts/render_notebook.py {input.notebook:q} --spec {params.spec:q} --executed {log.notebook:q} "
        "--pdf {output.pdf:q} > {log.run:q} 2>&1"
