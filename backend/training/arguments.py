"""transformers' TrainingArguments, from a resolved recipe."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from finetty.backend.planning import Schedule, steps_of
from finetty.backend.recipe import Recipe

OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_fused": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
}
SCHEDULERS = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def schedule(recipe: Recipe, sequences: int, processes: int = 1) -> Schedule:
    """How many sequences go into a step and how many steps there are, counted as plan() counted them.

    With several processes each takes its micro-batch at the same time; `micro_batch` is one process's.
    """
    training = recipe.training
    micro_batch, batch, epochs = (_number(one) for one in (training.micro_batch, training.batch, training.epochs))
    planned = steps_of(sequences, int(micro_batch) * processes, int(batch), epochs, training.max_steps)
    return replace(planned, micro_batch=int(micro_batch))


def warmup_steps(recipe: Recipe, planned: Schedule) -> int:
    """A share of the run is rounded up to whole steps."""
    warmup = _number(recipe.training.warmup)
    return math.ceil(warmup * planned.steps) if warmup < 1 else int(warmup)


def training_arguments(recipe: Recipe, folder: Path, planned: Schedule, *, on_cpu: bool) -> TrainingArguments:
    """What the Trainer is told. `recipe` has no `auto` left; `folder` is where it may write.

    Logging of every step, evaluation, checkpoints and their order are finetty's own, so the Trainer's are off.
    """
    return TrainingArguments(**arguments(recipe, folder, planned, on_cpu=on_cpu))


def arguments(recipe: Recipe, folder: Path, planned: Schedule, *, on_cpu: bool) -> dict[str, Any]:
    training = recipe.training
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": planned.micro_batch,
        "per_device_eval_batch_size": planned.micro_batch,
        "gradient_accumulation_steps": planned.accumulation,
        "num_train_epochs": float(training.epochs),
        "max_steps": planned.steps,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": SCHEDULERS[training.scheduler],
        "warmup_steps": warmup_steps(recipe, planned),
        "optim": OPTIMIZERS[training.optimizer],
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "gradient_checkpointing": training.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "neftune_noise_alpha": training.neftune,
        "bf16": recipe.precision.compute == "bf16",
        "fp16": recipe.precision.compute == "fp16",
        "use_cpu": on_cpu,
        "ddp_find_unused_parameters": False,
        "fsdp": recipe.hardware.fsdp or None,
        "use_liger_kernel": recipe.acceleration.liger,
        "seed": training.seed,
        "data_seed": training.seed,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": recipe.output.logs or "none",
        "run_name": folder.parent.name,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": not on_cpu,
        "push_to_hub": False,
    }


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"the plan left {value!r} where a number belongs")
    return value
