rule curves_of_model:
    input:
        unpack(lambda wildcards: PLAN.certified(wildcards.model)),
    output:
        LAYOUT.curves("{curves}", ["{model}"]),
    log:
        LOGS / "curves/{curves}_{model}.log",
    benchmark:
        LOGS / "benchmarks/curves_{curves}_{model}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        spec=lambda wildcards: canonical(PLAN.curve_settings(wildcards.curves, wildcards.model)),
        code=lambda wildcards: PLAN.code("curves", model=wildcards.model),
    message:
        "Evaluating the prox, potential and prior of {wildcards.model}"
    shell:
        f"{PYTHON}curves.py " "--spec {params.spec:q} --model {input.model:q} --output {output:q} " "> {log:q} 2>&1"


rule prior_of_model:
    input:
        unpack(lambda wildcards: PLAN.certified(wildcards.model)),
        data=lambda wildcards: PLAN.model_data(wildcards.model),
    output:
        prior=LAYOUT.prior("{priors}", "{model}", "{perturbation}"),
        arrays=LAYOUT.prior("{priors}", "{model}", "{perturbation}", ".npz"),
    log:
        LOGS / "priors/{priors}_{model}_{perturbation}.log",
    benchmark:
        LOGS / "benchmarks/priors_{priors}_{model}_{perturbation}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=per_attempt(8000),
        runtime=per_attempt(120),
    params:
        spec=lambda wildcards: canonical(PLAN.prior_settings(wildcards.priors, wildcards.model, wildcards.perturbation)),
        data=lambda wildcards, input: data_option(input.data),
        code=lambda wildcards: PLAN.code("prior", model=wildcards.model),
    message:
        "Evaluating the prior that {wildcards.model} learned, {wildcards.perturbation}"
    shell:
        f"{LAUNCH}prior.py "
        "--spec {params.spec:q} "
        "--model {input.model:q} {params.data} --output {output.prior:q} --arrays {output.arrays:q} "
        "--threads {threads} > {log:q} 2>&1"


rule proximal_steps:
    input:
        unpack(lambda wildcards: PLAN.certified(wildcards.model)),
        data=lambda wildcards: PLAN.model_data(wildcards.model),
    output:
        prior=LAYOUT.prior("{priors}", "{model}", "steps"),
        arrays=LAYOUT.prior("{priors}", "{model}", "steps", ".npz"),
    log:
        LOGS / "priors/{priors}_{model}_steps.log",
    benchmark:
        LOGS / "benchmarks/priors_{priors}_{model}_steps.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=per_attempt(8000),
        runtime=per_attempt(30),
    params:
        spec=lambda wildcards: canonical(PLAN.step_settings(wildcards.priors)),
        data=lambda wildcards, input: data_option(input.data),
        code=lambda wildcards: PLAN.code("proximal_steps", model=wildcards.model),
    message:
        "Repeating proximal steps of {wildcards.model}"
    shell:
        f"{LAUNCH}proximal_steps.py "
        "--spec {params.spec:q} "
        "--model {input.model:q} {params.data} --output {output.prior:q} --arrays {output.arrays:q} "
        "--threads {threads} > {log:q} 2>&1"
