"""LLaMA-Factory's half of the comparison; runs in its own environment, on a folder that finetty exported.

Prints the parsed arguments that decide what is learned, the token ids and labels of every row to train on, and the
batches that its own collator makes of them, in the order of the file.
"""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path

os.environ.setdefault("LLAMAFACTORY_VERBOSITY", "ERROR")


def main() -> None:
    # It reads sound, which no row here holds, and its build on PyPI wants CUDA's libraries.
    import peft  # noqa: F401 - it and transformers ask whether there is a real one
    import transformers  # noqa: F401

    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    from llamafactory.data import SFTDataCollatorWith4DAttentionMask, get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from ruamel.yaml import YAML
    from transformers import AutoTokenizer

    folder = Path(sys.argv[1])
    os.chdir(folder)
    keys = YAML(typ="safe").load((folder / "train.yaml").read_text("utf-8"))
    model, data, training, finetuning, _generating = get_train_args(dict(keys))
    tokenizer = AutoTokenizer.from_pretrained(model.model_name_or_path)
    template = get_template_and_fix_tokenizer(tokenizer, data)
    module = get_dataset(template, model, data, training, stage=finetuning.stage, tokenizer=tokenizer)
    parsed = {
        "learning_rate": training.learning_rate,
        "per_device_train_batch_size": training.per_device_train_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "num_train_epochs": training.num_train_epochs,
        "warmup_steps": training.warmup_steps,
        "lr_scheduler_type": str(getattr(training.lr_scheduler_type, "value", training.lr_scheduler_type)),
        "optim": str(getattr(training.optim, "value", training.optim)),
        "weight_decay": training.weight_decay,
        "seed": training.seed,
        "finetuning_type": finetuning.finetuning_type,
        "lora_rank": finetuning.lora_rank,
        "lora_alpha": finetuning.lora_alpha,
        "lora_target": finetuning.lora_target,
        "quantization_bit": model.quantization_bit,
        "cutoff_len": data.cutoff_len,
        "template": data.template,
    }
    rows = {
        part: [[list(row["input_ids"]), list(row["labels"])] for row in module[part]]
        for part in ("train_dataset", "eval_dataset")
        if module.get(part)
    }
    # As its workflow for supervised tuning builds it (train/sft/workflow.py of 0.9.5).
    collate = SFTDataCollatorWith4DAttentionMask(
        template=template, pad_to_multiple_of=8, label_pad_token_id=-100, tokenizer=tokenizer
    )
    train, size = module["train_dataset"], training.per_device_train_batch_size
    batches = [
        {name: collated[name].tolist() for name in ("input_ids", "attention_mask", "labels")}
        for start in range(0, len(train), size)
        for collated in [collate([dict(train[index]) for index in range(start, min(start + size, len(train)))])]
    ]
    sys.stdout.write(json.dumps({"parsed": parsed, "rows": rows, "batches": batches}) + "\n")


if __name__ == "__main__":
    main()
