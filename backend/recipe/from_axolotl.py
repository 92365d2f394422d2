"""Axolotl's YAML into a recipe. The keys' meanings are those of Axolotl's configuration reference (0.13)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from finetty.backend.messages import Refusal, message
from finetty.backend.recipe.files import anchored
from finetty.backend.recipe.foreign import NOTHING_LIKE, OFF, ONLY, Foreign, Imported
from finetty.backend.recipe.from_llama_factory import ONE_SET

OTHER_TRAINING = message(
    "import.other_training", "rl {kind} is another kind of training; finetty does supervised tuning."
)
WITH_CHECKPOINTS = message("import.also_evaluates", "finetty evaluates at each checkpoint")
A_LIST_OF_SETS = message("import.list_of_sets", "a list of sets, each with a path and a type")

KIND = "Axolotl"
SIGNS = frozenset({"base_model", "adapter", "sequence_len", "datasets", "micro_batch_size", "lora_r", "num_epochs"})
_BY_ITSELF = """
    output_dir dataset_prepared_path pad_to_sequence_len eval_sample_packing logging_steps group_by_length
    gradient_checkpointing_kwargs model_type tokenizer_type is_llama_derived_model is_mistral_derived_model
    eval_batch_size dataset_processes dataset_num_proc dataloader_num_workers dataloader_pin_memory strict
    train_on_eos save_safetensors shuffle_merged_datasets local_rank save_strategy eval_strategy
    evaluation_strategy base_model_config include_tokens_per_second tf32 plugins
"""
BY_ITSELF = frozenset(_BY_ITSELF.split())
STRAIGHT = {
    "revision_of_model": "model.revision",
    "trust_remote_code": "model.trust_remote_code",
    "sequence_len": "dataset.cutoff",
    "sample_packing": "dataset.packing",
    "lora_r": "method.rank",
    "lora_alpha": "method.alpha",
    "lora_dropout": "method.dropout",
    "peft_use_rslora": "method.rslora",
    "peft_use_dora": "method.dora",
    "default_system_message": "template.system",
    "num_epochs": "training.epochs",
    "max_steps": "training.max_steps",
    "micro_batch_size": "training.micro_batch",
    "learning_rate": "training.learning_rate",
    "neftune_noise_alpha": "training.neftune",
    "loraplus_lr_ratio": "method.lora_plus",
    "weight_decay": "training.weight_decay",
    "max_grad_norm": "training.max_grad_norm",
    "seed": "training.seed",
    "save_steps": "output.checkpoint_every",
    "save_total_limit": "output.keep",
    "load_best_model_at_end": "output.best",
}
DEFAULTS: dict[str, Any] = {
    "dataset.packing": False,
    "training.micro_batch": 1,
    "training.epochs": 1.0,
    "training.weight_decay": 0.0,
}
"""What Axolotl takes where a key is missing, of what decides what is learned."""
OPTIMIZERS = {
    "adamw_torch": "adamw",
    "adamw_hf": "adamw",
    "adamw_torch_fused": "adamw_fused",
    "adamw_bnb_8bit": "adamw_8bit",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
}
SCHEDULERS = {"cosine": "cosine", "linear": "linear", "constant": "constant", "constant_with_warmup": "constant"}
ATTENTION = {
    "flash_attention_2": "fa2",
    "flash_attention_3": "fa3",
    "sdpa": "sdpa",
    "eager": "eager",
}
TEMPLATES = {
    "chatml": "chatml",
    "alpaca": "alpaca",
    "llama3": "llama3",
    "gemma": "gemma",
    "gemma3": "gemma3",
    "phi_3": "phi3",
    "phi_4": "phi4",
    "qwen_25": "qwen",
    "qwen3": "qwen3",
    "mistral_v1": "mistral",
    "falcon_h1": "falcon_h1",
    "tokenizer_default": "auto",
}
TYPES = {
    "alpaca": "alpaca",
    "sharegpt": "sharegpt",
    "completion": "text",
    "chat_template": "messages",
}
FIELDS = {
    "alpaca": {"field_instruction": "instruction", "field_input": "input", "field_output": "output",
               "field_system": "system"},
    "text": {"field": "text"},
    "messages": {"field_messages": "messages", "field_tools": "tools", "field_system": "system"},
    "sharegpt": {"field_messages": "conversations"},
}  # fmt: skip
SEEN_TO = {"ds_type", "train_on_split", "roles_to_train", "train_on_eos", "conversation"}


def recipe_of(foreign: Foreign) -> Imported:
    """The recipe that learns the same. Raises Refusal with the line of a value that no training could have."""
    if foreign.take("rl"):
        raise Refusal(OTHER_TRAINING(kind=foreign.take("rl")), path=foreign.path, line=foreign.line("rl"))
    for option, value in DEFAULTS.items():
        foreign.put(option, value, "")
    for key, option in STRAIGHT.items():
        if key in foreign:
            foreign.put(option, foreign.take(key), key)
    foreign.put("model.path", foreign.take("base_model", ""), "base_model")
    foreign.put_word("training.optimizer", OPTIMIZERS, "optimizer")
    foreign.put_word("training.scheduler", SCHEDULERS, "lr_scheduler")
    foreign.put_word("template.name", TEMPLATES, "chat_template")
    _read_method(foreign)
    _read_arithmetic(foreign)
    _read_accelerators(foreign)
    _read_data(foreign)
    _read_course(foreign)
    imported = foreign.imported(KIND, BY_ITSELF)
    folder = foreign.folder_with(imported.recipe.model.path or ".")
    return Imported(imported.kind, anchored(imported.recipe, folder), imported.left)


def _read_method(foreign: Foreign) -> None:
    adapter = foreign.take("adapter")
    if adapter in ("lora", "qlora", None):
        foreign.put("method.name", "lora" if adapter else "full", "adapter")
    else:
        foreign.leave("adapter", ONLY(words="lora, qlora"))
    four, eight = foreign.take("load_in_4bit"), foreign.take("load_in_8bit")
    quantized = "nf4" if four else "int8" if eight else "none"
    foreign.put("precision.quantization", quantized, "load_in_4bit" if four else "load_in_8bit")
    targets = foreign.names("lora_target_modules")
    everything = foreign.take("lora_target_linear") is True or targets == ["all-linear"]
    if targets or everything:
        foreign.put("method.targets", "all-linear" if everything else targets, "lora_target_modules")


def _read_arithmetic(foreign: Foreign) -> None:
    for key, compute in (("fp16", "fp16"), ("float16", "fp16"), ("bf16", "bf16"), ("bfloat16", "bf16")):
        if foreign.take(key) in (True, "true", "full"):
            foreign.put("precision.compute", compute, key)
    checkpointing = foreign.take("gradient_checkpointing")
    if checkpointing is not None:
        foreign.put("training.gradient_checkpointing", bool(checkpointing), "gradient_checkpointing")
        if isinstance(checkpointing, str):
            foreign.leave("gradient_checkpointing", ONLY(words="true, false"))


def _read_accelerators(foreign: Foreign) -> None:
    for key, kernel in (("sdp_attention", "sdpa"), ("eager_attention", "eager"), ("flash_attention", "fa2")):
        if foreign.take(key) is True:
            foreign.put("acceleration.attention", kernel, key)
    foreign.put_word("acceleration.attention", ATTENTION, "attn_implementation")
    liger = [key for key in foreign.values if key.startswith("liger_")]
    if any("liger" in str(plugin).lower() for plugin in foreign.names("plugins")):
        foreign.put("acceleration.liger", True, "plugins")
    for key in liger:
        if not foreign.recipe.acceleration.liger:
            foreign.leave(key, NOTHING_LIKE())
        foreign.take(key)
    if any("liger" not in str(plugin).lower() for plugin in foreign.names("plugins")):
        foreign.leave("plugins", ONLY(words="liger"))


def _read_data(foreign: Foreign) -> None:
    sets = _sets(foreign, "datasets")
    foreign.put("dataset.train", [_data_file(foreign, "datasets", place) for place in range(len(sets))], "datasets")
    held_out = _sets(foreign, "test_datasets")
    share = foreign.number("val_set_size", 0)
    if len(held_out) == 1:
        foreign.put("dataset.validation", _data_file(foreign, "test_datasets", 0)["path"], "test_datasets")
    else:
        foreign.put("dataset.validation", int(share) if share >= 1 or share == 0 else share, "val_set_size")
        if held_out:
            foreign.leave("test_datasets", ONE_SET())
    if foreign.take("train_on_inputs") is True:
        foreign.put("dataset.train_on", "all", "train_on_inputs")


def _sets(foreign: Foreign, key: str) -> list[dict[str, Any]]:
    sets = foreign.take(key, [])
    if not isinstance(sets, list) or not all(isinstance(one, dict) and one.get("path") for one in sets):
        raise foreign.wrong(key, A_LIST_OF_SETS())
    return sets


def _data_file(foreign: Foreign, key: str, place: int) -> dict[str, Any]:
    """An entry of dataset.train. Keys of the set that finetty has nothing like are left behind."""
    rest = dict(_sets(foreign, key)[place])
    path, kind = str(rest.pop("path")), rest.pop("type", None)
    if isinstance(kind, dict):
        rest, kind = {**kind, **rest}, "alpaca"
    name, _, variant = str(kind or "").partition(".")
    form = TYPES.get(name)
    if kind is not None and (form is None or variant.partition(":")[0] not in ("", "load_role")):
        foreign.leave(key, ONLY(words=", ".join(TYPES)), place, "type")
    data: dict[str, Any] = {"path": _place(foreign, path, rest)}
    if form:
        columns = {part: str(rest.pop(field)) for field, part in FIELDS[form].items() if rest.get(field)}
        data |= {"format": form} | ({"columns": columns} if columns else {})
        _check_names(foreign, key, place, rest)
    for odd, value in rest.items():
        if odd not in SEEN_TO and value not in OFF:
            foreign.leave(key, NOTHING_LIKE(), place, odd)
    return data


def _check_names(foreign: Foreign, key: str, place: int, rest: dict[str, Any]) -> None:
    """finetty reads turns by the usual names of role and content; others are left behind."""
    given = rest.pop("message_property_mappings", None)
    mapping = given if isinstance(given, dict) else {}
    names = {"role": ("role", "from"), "content": ("content", "value")}
    for part, usual in names.items():
        named = rest.pop(f"message_field_{part}", mapping.get(part, part))
        if named not in usual:
            inner = ("message_property_mappings", part) if part in mapping else (f"message_field_{part}",)
            foreign.leave(key, ONLY(words=", ".join(usual)), place, *inner)


def _place(foreign: Foreign, path: str, rest: dict[str, Any]) -> str:
    """Where the set's rows are: a file, a folder, or a name on the Hub with its split."""
    files = rest.pop("data_files", None)
    if isinstance(files, list):
        files = files[0] if len(files) == 1 else None
    if files and (foreign.folder_with(path) / path).is_dir():
        path = os.path.join(path, str(files))  # noqa: PTH118 - names on the Hub are no paths either
    folder = foreign.folder_with(path)
    place = str(folder / path) if (folder / path).exists() or Path(path).suffix else path
    split = rest.pop("split", None)
    return f"{place}#{split}" if split and split != "train" else place


def _read_course(foreign: Foreign) -> None:
    rows = foreign.recipe.training.micro_batch
    accumulation = foreign.number("gradient_accumulation_steps", 1, int)
    foreign.put("training.batch", accumulation * rows if isinstance(rows, int) else rows, "gradient_accumulation_steps")
    steps, share = foreign.number("warmup_steps", 0), foreign.number("warmup_ratio", 0.0)
    if "warmup_steps" in foreign or "warmup_ratio" in foreign:
        foreign.put("training.warmup", steps or float(share), "warmup_steps" if steps else "warmup_ratio")
    for key in ("eval_steps", "evals_per_epoch", "saves_per_epoch"):
        same = key == "eval_steps" and foreign.values.get(key) == foreign.values.get("save_steps")
        if key in foreign and not same:
            foreign.leave(key, WITH_CHECKPOINTS())
        foreign.take(key)
