rule train:
    input:
        data=lambda wildcards: prepared_data(wildcards.model),
        init=init_model,
    output:
        model=OUT / "models/{model}/model.pt",
        config=OUT / "models/{model}/model_config.json",
        log=OUT / "models/{model}/training.csv",
    log:
        LOGS / "train/{model}.log",
    benchmark:
        LOGS / "benchmarks/train_{model}.tsv"
    wildcard_constraints:
        model="|".join(map(re.escape, TRAINED)) or "none",
    priority: 1  # long jobs first
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=per_attempt(8000),
        runtime=per_attempt(480),
    params:
        spec=model_spec,
        code=fingerprint("scripts/train.py"),
        checkpoints=checkpoint_folder,
        data=lambda wildcards, input: data_option(input.data),
        init=lambda wildcards, input: option("init", input.init),
    message:
        "Training {wildcards.model}"
    # exec: a cluster's SIGTERM would end a shell at once, then Snakemake, and the training before it has saved its state
    shell:
        "exec python scripts/launch.py --gpus {resources.gpu} --processes {resources.gpu} scripts/train.py --spec {params.spec:q} {params.data} {params.init} --output {output.model:q} "
        "--log {output.log:q} --checkpoints {params.checkpoints:q} --threads {threads} > {log:q} 2>&1"


rule import_model:
    input:
        import_file,
    output:
        model=OUT / "models/{model}/model.pt",
        config=OUT / "models/{model}/model_config.json",
    log:
        LOGS / "import/{model}.log",
    benchmark:
        LOGS / "benchmarks/import_{model}.tsv"
    wildcard_constraints:
        model="|".join(map(re.escape, IMPORTED)) or "none",
    priority: 2  # what is missing or does not fit shows before any training
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=import_spec,
        code=fingerprint("scripts/import_model.py"),
    message:
        "Importing {wildcards.model}"
    shell:
        "python scripts/import_model.py --spec {params.spec:q} --output {output.model:q} > {log:q} 2>&1"


rule certify:
    input:
        model=OUT / "models/{model}/model.pt",
        config=OUT / "models/{model}/model_config.json",
        data=lambda wildcards: prepared_data(wildcards.model),
    output:
        OUT / "certificates/{model}.json",
    log:
        LOGS / "certify/{model}.log",
    benchmark:
        LOGS / "benchmarks/certify_{model}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=lambda wildcards: 1 if prepared_data(wildcards.model) else 0,
        mem_mb=per_attempt(8000),
        runtime=per_attempt(120),
    params:
        spec=certificate_spec,
        code=fingerprint("scripts/certify.py"),
        data=lambda wildcards, input: data_option(input.data),
    message:
        "Certifying that {wildcards.model} is a proximal operator"
    shell:
        "python scripts/launch.py --gpus {resources.gpu} scripts/certify.py --spec {params.spec:q} --model {input.model:q} {params.data} --output {output:q} "
        "--threads {threads} > {log:q} 2>&1"
