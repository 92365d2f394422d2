"""A resolved recipe into LLaMA-Factory's keys."""

from __future__ import annotations

from typing import Any

from finetty.backend.recipe.llama_factory import STRAIGHT, WORDS, key_of
from finetty.backend.recipe.options import options, value_of
from finetty.backend.recipe.schema import DataFile, Recipe


def to_llama_factory(recipe: Recipe, *, sets: list[str], held_out: str | None, output: str) -> dict[str, Any]:
    """The keys for a resolved recipe, whose data is listed as `sets`, and `held_out`, beside the YAML itself.

    Raises KeyError for an option that plan() left at `auto` without a key for that.
    """
    files = recipe.dataset.train
    only_text = bool(files) and all(file.format == "text" for file in files)
    keys: dict[str, Any] = {
        "model_name_or_path": recipe.model.path,
        "stage": "pt" if only_text else "sft",
        "do_train": True,
    }
    keys |= {key: value_of(recipe, option) for option, key in STRAIGHT.items()}
    keys |= {
        key_of(option): next(word for word, ours in words.items() if ours == value)
        for option, words in WORDS.items()
        if (value := value_of(recipe, option)) != "auto"
    }
    keys |= _layers(recipe) | _arithmetic(recipe) | _data(recipe, sets, held_out) | _course(recipe)
    keys = {key: value for key, value in keys.items() if value not in (None, "auto")}
    return keys | {"output_dir": output, "report_to": "none"}


def _layers(recipe: Recipe) -> dict[str, Any]:
    """The keys of the recipe's own method; those of the others are null."""
    method = recipe.method
    keys: dict[str, Any] = dict.fromkeys((*_OF_LORA, *_OF_FREEZE))
    if method.name == "lora":
        keys = dict.fromkeys(_OF_FREEZE) | {"lora_target": _joined(method.targets, "all-linear", "all")}
        if isinstance(method.alpha, float) and method.alpha.is_integer():
            keys["lora_alpha"] = int(method.alpha)
    elif method.name == "freeze":
        keys |= {
            "freeze_trainable_layers": method.layers,
            "freeze_trainable_modules": _joined(method.modules, "all", "all"),
            "freeze_extra_modules": ",".join(method.extra_modules) or None,
        }
    return keys


_OF_LORA = ("lora_rank", "lora_alpha", "lora_dropout", "lora_target", "use_rslora", "use_dora")
_OF_FREEZE = ("freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules")


def _joined(names: Any, every: str, word: str) -> str:
    return word if names in (every, "auto") else ",".join(names)


def _arithmetic(recipe: Recipe) -> dict[str, Any]:
    compute, kind = recipe.precision.compute, recipe.precision.quantization
    bits = {"nf4": 4, "fp4": 4, "int8": 8}.get(kind)
    checkpointing = recipe.training.gradient_checkpointing
    return {
        "bf16": compute == "bf16" if compute != "auto" else None,
        "fp16": compute == "fp16" if compute != "auto" else None,
        "quantization_bit": bits,
        "quantization_type": kind if bits == 4 else None,
        "double_quantization": recipe.precision.double_quantization if bits == 4 else None,
        "disable_gradient_checkpointing": None if checkpointing == "auto" else not checkpointing,
    }


def _data(recipe: Recipe, sets: list[str], held_out: str | None) -> dict[str, Any]:
    validation = recipe.dataset.validation
    rows = validation if isinstance(validation, int | float) and validation else None
    return {
        "dataset": ",".join(sets),
        "dataset_dir": ".",
        "eval_dataset": held_out,
        "val_size": None if held_out else rows,
        "train_on_prompt": recipe.dataset.train_on == "all",
        "mask_history": recipe.dataset.train_on == "last",
        "neat_packing": True if recipe.dataset.packing is True else None,
        "template": None if recipe.template.name == "own" else recipe.template.name,
        "eval_strategy": "steps" if held_out or rows else None,
        "eval_steps": recipe.output.checkpoint_every if held_out or rows else None,
    }


def _course(recipe: Recipe) -> dict[str, Any]:
    training = recipe.training
    rows, batch, warmup = training.micro_batch, training.batch, training.warmup
    return {
        "max_steps": training.max_steps,
        "gradient_accumulation_steps": max(1, round(batch / rows))
        if isinstance(batch, int) and isinstance(rows, int)
        else None,
        "per_device_eval_batch_size": rows,
        "warmup_steps": warmup if isinstance(warmup, int) else None,
        "warmup_ratio": warmup if isinstance(warmup, float) else None,
        "logging_steps": 1,
    }


def not_carried(recipe: Recipe) -> list[str]:
    """The options that ask for something that LLaMA-Factory has no key for."""
    bare = Recipe()
    left = [
        name
        for name, option in options().items()
        if option.llamafactory is None
        and name not in _SAID_OTHERWISE
        and value_of(recipe, name) != value_of(bare, name)
    ]
    if any(file.weight != DataFile.model_fields["weight"].default for file in recipe.dataset.train):
        left.append("dataset.train.weight")
    return left


_SAID_OTHERWISE = ("precision.compute", "training.batch", "output.name")
