rule measure:
    input:
        data=lambda wildcards: PLAN.measured_data(wildcards.experiment, wildcards.split),
    output:
        LAYOUT.measurements("{experiment}", "{split}", "{part}"),
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
        spec=lambda wildcards: canonical(
            PLAN.measurement_settings(wildcards.experiment, wildcards.split, int(wildcards.part))
        ),
        data=lambda wildcards, input: data_option(input.data),
        code=lambda wildcards: PLAN.code(
            "measure", PLAN.measurement_settings(wildcards.experiment, wildcards.split, int(wildcards.part))
        ),
    message:
        "Measuring {wildcards.split} images of {wildcards.experiment}, part {wildcards.part}"
    shell:
        f"{PYTHON}measure.py " "--spec {params.spec:q} {params.data} --output {output:q} > {log:q} 2>&1"


rule tune:
    input:
        unpack(lambda wildcards: PLAN.method_files(wildcards.experiment, wildcards.method)),
        measurement=LAYOUT.measurements("{experiment}", "validation", 0),
    output:
        LAYOUT.scores("{experiment}", "{method}", "{grid}"),
    log:
        LOGS / "tune/{experiment}_{method}_{grid}.log",
    benchmark:
        LOGS / "benchmarks/tune_{experiment}_{method}_{grid}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=lambda wildcards: 1 if PLAN.method_model(wildcards.experiment, wildcards.method) else 0,
        mem_mb=per_attempt(8000),
        runtime=per_attempt(120),
    params:
        spec=lambda wildcards: canonical(PLAN.tuning_settings(wildcards.experiment, wildcards.method, wildcards.grid)),
        model=lambda wildcards, input: option("model", [input.model] if "model" in input.keys() else []),
        code=lambda wildcards: PLAN.code(
            "tune",
            PLAN.method_settings(wildcards.experiment, wildcards.method),
            PLAN.method_model(wildcards.experiment, wildcards.method),
        ),
    message:
        "Tuning {wildcards.method} for {wildcards.experiment}, values {wildcards.grid}"
    shell:
        f"{LAUNCH}tune.py "
        "--spec {params.spec:q} "
        "--measurement {input.measurement:q} {params.model} --output {output:q} --threads {threads} > {log:q} 2>&1"


rule choose:
    input:
        lambda wildcards: PLAN.score_files(wildcards.experiment, wildcards.method),
    output:
        LAYOUT.chosen("{experiment}", "{method}"),
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
        code=PLAN.code("choose"),
    message:
        "Choosing the parameters of {wildcards.method} for {wildcards.experiment}"
    shell:
        f"{PYTHON}choose.py " "{input:q} --output {output:q} > {log:q} 2>&1"


rule reconstruct:
    input:
        unpack(lambda wildcards: PLAN.method_files(wildcards.experiment, wildcards.method)),
        measurement=LAYOUT.measurements("{experiment}", "test", "{part}"),
        tuned=lambda wildcards: PLAN.chosen_parameters(wildcards.experiment, wildcards.method),
    output:
        images=LAYOUT.result("{experiment}", "{method}", "{part}", ".csv"),
        iterations=LAYOUT.result("{experiment}", "{method}", "{part}", "_iterations.csv"),
        arrays=LAYOUT.result("{experiment}", "{method}", "{part}", ".npz"),
    log:
        LOGS / "reconstruct/{experiment}_{method}_{part}.log",
    benchmark:
        LOGS / "benchmarks/reconstruct_{experiment}_{method}_{part}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=lambda wildcards: 1 if PLAN.method_model(wildcards.experiment, wildcards.method) else 0,
        mem_mb=per_attempt(8000),
        runtime=per_attempt(240),
    params:
        spec=lambda wildcards: canonical(
            PLAN.reconstruction_settings(wildcards.experiment, wildcards.method, int(wildcards.part))
        ),
        model=lambda wildcards, input: option("model", [input.model] if "model" in input.keys() else []),
        tuned=lambda wildcards, input: option("tuned", input.tuned),
        code=lambda wildcards: PLAN.code(
            "reconstruct",
            PLAN.method_settings(wildcards.experiment, wildcards.method),
            PLAN.method_model(wildcards.experiment, wildcards.method),
        ),
    message:
        "Reconstructing {wildcards.experiment} by {wildcards.method}, part {wildcards.part}"
    shell:
        f"{LAUNCH}reconstruct.py "
        "--spec {params.spec:q} "
        "--measurement {input.measurement:q} {params.model} {params.tuned} --images {output.images:q} "
        "--iterations {output.iterations:q} --arrays {output.arrays:q} --threads {threads} > {log:q} 2>&1"
