rule make_pairs:
    input:
        lambda wildcards: PLAN.model_data(PLAN.pairs[wildcards.pairs]),
    output:
        LAYOUT.pairs("{pairs}"),
    log:
        LOGS / "make_pairs/{pairs}.log",
    benchmark:
        LOGS / "benchmarks/make_pairs_{pairs}.tsv"
    priority: 2  # as of data: what does not fit shows before any training
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(120),
    params:
        spec=lambda wildcards: canonical(PLAN.pairs_settings(PLAN.pairs[wildcards.pairs])),
        data=lambda wildcards, input: data_option(input),
        place=lambda wildcards, output: Path(output[0]).parent,
        code=lambda wildcards: PLAN.code("make_pairs", PLAN.pairs_settings(PLAN.pairs[wildcards.pairs])),
    message:
        "Making the pairs {wildcards.pairs}"
    shell:
        f"{PYTHON}make_pairs.py "
        "--spec {params.spec:q} {params.data} --output {params.place:q} --threads {threads} > {log:q} 2>&1"


rule train:
    input:
        data=lambda wildcards: PLAN.model_data(wildcards.model),
        pairs=lambda wildcards: PLAN.model_pairs(wildcards.model),
        init=lambda wildcards: PLAN.init_model(wildcards.model),
    output:
        model=LAYOUT.model("{model}"),
        config=LAYOUT.model("{model}", "model_config.json"),
        made=LAYOUT.model("{model}", "made_with.json"),
        log=LAYOUT.model("{model}", "training.csv"),
    log:
        LOGS / "train/{model}.log",
    benchmark:
        LOGS / "benchmarks/train_{model}.tsv"
    wildcard_constraints:
        model="|".join(map(re.escape, PLAN.trained)) or "none",
    priority: 1  # long jobs first
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=per_attempt(8000),
        runtime=per_attempt(480),
    params:
        spec=lambda wildcards: canonical(PLAN.training_settings(wildcards.model)),
        code=lambda wildcards: PLAN.code("train", PLAN.training_settings(wildcards.model)),
        # functions of the output, so that they rerun nothing: what is logged, and where a state is kept
        logging=lambda wildcards, output: canonical(PLAN.models[wildcards.model]["logging"]),
        checkpoints=lambda wildcards, output: LAYOUT.checkpoints(
            wildcards.model, PLAN.code("train", PLAN.training_settings(wildcards.model))
        ),
        data=lambda wildcards, input: data_option(input.data),
        pairs=lambda wildcards, input: folder_option("pairs", input.pairs),
        init=lambda wildcards, input: option("init", input.init),
    message:
        "Training {wildcards.model}"
    # exec: a cluster's SIGTERM would end a shell at once, then Snakemake, and the training before it has saved its state
    shell:
        f"exec python {SCRIPTS}/launch.py --gpus {{resources.gpu}} --processes {{resources.gpu}} {SCRIPTS}/train.py "
        "--spec {params.spec:q} --logging {params.logging:q} {params.data} {params.pairs} {params.init} --output {output.model:q} "
        "--log {output.log:q} --checkpoints {params.checkpoints:q} --threads {threads} > {log:q} 2>&1"


rule import_model:
    output:
        model=LAYOUT.model("{model}"),
        config=LAYOUT.model("{model}", "model_config.json"),
        made=LAYOUT.model("{model}", "made_with.json"),
    log:
        LOGS / "import/{model}.log",
    benchmark:
        LOGS / "benchmarks/import_{model}.tsv"
    wildcard_constraints:
        model="|".join(map(re.escape, PLAN.imported)) or "none",
    priority: 2  # what is missing or does not fit shows before any training
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=lambda wildcards: canonical(PLAN.import_settings(wildcards.model)),
        code=lambda wildcards: PLAN.code("import_model", PLAN.import_settings(wildcards.model)),
    message:
        "Importing {wildcards.model}"
    shell:
        f"{PYTHON}import_model.py " "--spec {params.spec:q} --output {output.model:q} > {log:q} 2>&1"


rule certify:
    input:
        model=LAYOUT.model("{model}"),
        config=LAYOUT.model("{model}", "model_config.json"),
        data=lambda wildcards: PLAN.model_data(wildcards.model),
    output:
        LAYOUT.certificate("{model}"),
    log:
        LOGS / "certify/{model}.log",
    benchmark:
        LOGS / "benchmarks/certify_{model}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=lambda wildcards: 1 if PLAN.model_data(wildcards.model) else 0,
        mem_mb=per_attempt(8000),
        runtime=per_attempt(120),
    params:
        spec=lambda wildcards: canonical(PLAN.certificate_settings(wildcards.model)),
        code=lambda wildcards: PLAN.code("certify", model=wildcards.model),
        data=lambda wildcards, input: data_option(input.data),
    message:
        "Certifying {wildcards.model}"
    shell:
        f"{LAUNCH}certify.py "
        "--spec {params.spec:q} "
        "--name {wildcards.model:q} --model {input.model:q} {params.data} --output {output:q} --threads {threads} "
        "> {log:q} 2>&1"
