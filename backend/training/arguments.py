"""transformers' TrainingArguments, from a resolved recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from finetty.backend.recipe import Recipe

OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_fused": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
}
SCHEDULERS = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True)
class Schedule:
    """How many rows go into a step, and how many steps there are."""

    micro_batch: int
    accumulation: int
    steps_an_epoch: int
    steps: int
    warmup: int


def schedule(recipe: Recipe, examples: int) -> Schedule:
    """Counted as transformers' Trainer counts: the last step of an epoch takes what is left."""
    training = recipe.training
    micro_batch = _number(training.micro_batch)
    accumulation = max(1, round(_number(training.batch) / micro_batch))
    steps_an_epoch = math.ceil(math.ceil(examples / micro_batch) / accumulation)
    steps = training.max_steps or math.ceil(float(training.epochs) * steps_an_epoch)
    warmup = training.warmup
    whole = math.ceil(warmup * steps) if isinstance(warmup, float) and warmup < 1 else int(warmup)
    return Schedule(micro_batch, accumulation, steps_an_epoch, steps, whole)


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
        "warmup_steps": planned.warmup,
        "optim": OPTIMIZERS[training.optimizer],
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "gradient_checkpointing": training.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "bf16": recipe.precision.compute == "bf16",
        "fp16": recipe.precision.compute == "fp16",
        "use_cpu": on_cpu,
        "use_liger_kernel": recipe.acceleration.liger,
        "seed": training.seed,
        "data_seed": training.seed,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": not on_cpu,
        "push_to_hub": False,
    }


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError(f"the plan left {value!r} where a number of rows belongs")
    return value
