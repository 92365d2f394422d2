"""Which key of LLaMA-Factory's YAML is which option, and the words that differ.

Most keys stand at the options themselves; here is what has other values there. Meanings and defaults are those of
`hparams/` in LLaMA-Factory 0.9.5.
"""

from __future__ import annotations

from typing import Any

from finetty.backend.recipe.options import options

KIND = "LLaMA-Factory"
WHOLE_STEPS = "100, 200 …"
SIGNS = frozenset({"model_name_or_path", "finetuning_type", "stage", "dataset_dir", "cutoff_len", "template"})
_BY_ITSELF = """
    do_train do_eval output_dir overwrite_output_dir overwrite_cache logging_steps logging_dir logging_strategy
    plot_loss preprocessing_num_workers preprocessing_batch_size dataloader_num_workers dataloader_pin_memory
    per_device_eval_batch_size eval_strategy evaluation_strategy save_strategy save_only_model ddp_timeout
    use_fast_tokenizer low_cpu_mem_usage use_reentrant_gc gradient_checkpointing_kwargs disable_tqdm log_level
    ddp_find_unused_parameters remove_unused_columns data_seed upcast_layernorm flash_attn_version
    print_param_status include_num_input_tokens_seen include_effective_tokens_per_second
"""
BY_ITSELF = frozenset(_BY_ITSELF.split())
WORDS: dict[str, dict[Any, Any]] = {
    "method.name": {"lora": "lora", "full": "full", "freeze": "freeze"},
    "acceleration.attention": {
        "auto": "auto", "disabled": "eager", "sdpa": "sdpa", "fa2": "fa2", "fa3": "fa3", True: "fa2", False: "auto",
    },
    "training.scheduler": {"cosine": "cosine", "linear": "linear", "constant_with_warmup": "constant",
                           "constant": "constant"},
    "training.optimizer": {
        "adamw_torch": "adamw", "adamw_hf": "adamw", "adamw_torch_fused": "adamw_fused",
        "adamw_bnb_8bit": "adamw_8bit", "adamw_8bit": "adamw_8bit", "paged_adamw_8bit": "paged_adamw_8bit",
        "adafactor": "adafactor",
    },
}  # fmt: skip
_OF_OTHER_VALUES = """
    dataset.train dataset.validation dataset.train_on method.targets method.modules method.extra_modules
    precision.quantization training.max_steps training.warmup training.gradient_checkpointing template.name
"""
OF_OTHER_VALUES = frozenset(_OF_OTHER_VALUES.split())
STRAIGHT = {
    name: option.llamafactory
    for name, option in options().items()
    if option.llamafactory and name not in WORDS and name not in OF_OTHER_VALUES
}
DEFAULTS: dict[str, Any] = {
    "dataset.cutoff": 2048,
    "dataset.packing": False,
    "method.rank": 8,
    "training.epochs": 3.0,
    "training.micro_batch": 8,
    "training.learning_rate": 5e-5,
    "training.scheduler": "linear",
    "training.weight_decay": 0.0,
}
"""What LLaMA-Factory takes where a key is missing. Where that decides only speed, memory or how often something is
saved, the option stays with finetty."""


def key_of(option: str) -> str:
    """The option's key there. Raises ValueError where it has none."""
    key = options()[option].llamafactory
    if key is None:
        raise ValueError(f"{option} has no key in LLaMA-Factory")
    return key
