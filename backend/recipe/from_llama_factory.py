"""LLaMA-Factory's YAML into a recipe."""

from __future__ import annotations

from finetty.backend.messages import Refusal, message
from finetty.backend.recipe.files import anchored
from finetty.backend.recipe.foreign import ONLY, Foreign, Imported
from finetty.backend.recipe.llama_factory import BY_ITSELF, DEFAULTS, KIND, STRAIGHT, WHOLE_STEPS, WORDS, key_of

OTHER_STAGE = message(
    "import.other_stage", "stage {stage} is another kind of training; finetty does supervised tuning."
)
ONE_SET = message("import.one_set", "finetty measures on one set of rows")
WITH_CHECKPOINTS = message("import.with_checkpoints", "finetty evaluates at each checkpoint, every {steps} steps")
NOT_A_MIX = message("import.not_a_mix", "finetty's weights count how often a set's rows are seen, not a probability")
NO_CLIPPING = message("import.no_clipping", "finetty always clips gradients")
KEPT_WIDE = message("import.kept_wide", "computed in bf16 so; what is trained stays in fp32")


def from_llama_factory(foreign: Foreign) -> Imported:
    """The recipe that learns the same. Raises Refusal with the line of a value that no training could have."""
    stage = foreign.take("stage", "sft")
    if stage not in ("sft", "pt"):
        raise Refusal(OTHER_STAGE(stage=stage), path=foreign.path, line=foreign.line("stage"))
    for option, value in DEFAULTS.items():
        foreign.put(option, value, key_of(option))
    _leave_what_is_off(foreign)
    for option, key in STRAIGHT.items():
        if key in foreign and not foreign.is_left(key):
            foreign.put(option, foreign.take(key), key)
    for option, words in WORDS.items():
        foreign.put_word(option, words, key_of(option))
    if foreign.take("template"):
        foreign.put("template.name", foreign.take("template"), "template")
    if "lora_alpha" not in foreign:
        foreign.put("method.alpha", 2 * foreign.take("lora_rank", 8), "lora_rank")
    _read_layers(foreign)
    _read_arithmetic(foreign)
    _read_data(foreign, stage)
    _read_course(foreign)
    return foreign.imported(KIND, BY_ITSELF)


def _leave_what_is_off(foreign: Foreign) -> None:
    """Values that mean something else there than a number of this kind."""
    if foreign.values.get("max_grad_norm") == 0:
        foreign.leave("max_grad_norm", NO_CLIPPING())
    if isinstance(foreign.values.get("save_steps"), float):
        foreign.leave("save_steps", ONLY(words=WHOLE_STEPS))
    if foreign.values.get("save_total_limit") == 0:
        foreign.leave("save_total_limit", ONLY(words="1, 2, 3 …"))


def _read_layers(foreign: Foreign) -> None:
    targets = foreign.names("lora_target") or ["all"]
    foreign.put("method.targets", "all-linear" if targets == ["all"] else targets, "lora_target")
    modules = foreign.names("freeze_trainable_modules") or ["all"]
    foreign.put("method.modules", "all" if modules == ["all"] else modules, "freeze_trainable_modules")
    foreign.put("method.extra_modules", foreign.names("freeze_extra_modules"), "freeze_extra_modules")
    if foreign.recipe.method.name == "freeze" and "freeze_trainable_layers" not in foreign:
        foreign.put("method.layers", 2, "freeze_trainable_layers")


def _read_arithmetic(foreign: Foreign) -> None:
    _read_quantization(foreign)
    for key, compute in (("fp16", "fp16"), ("bf16", "bf16"), ("pure_bf16", "bf16")):
        if foreign.take(key) is True:
            foreign.put("precision.compute", compute, key)
    if foreign.take("bf16") is False and foreign.take("fp16") is False and foreign.take("pure_bf16") is None:
        foreign.put("precision.compute", "fp32", "bf16")
    if foreign.take("pure_bf16") is True:
        foreign.leave("pure_bf16", KEPT_WIDE())
    if foreign.take("disable_gradient_checkpointing") is not None:
        wanted = not foreign.take("disable_gradient_checkpointing")
        foreign.put("training.gradient_checkpointing", wanted, "disable_gradient_checkpointing")
    elif "gradient_checkpointing" in foreign:
        foreign.put("training.gradient_checkpointing", foreign.take("gradient_checkpointing"), "gradient_checkpointing")


def _read_quantization(foreign: Foreign) -> None:
    bits, kind = foreign.take("quantization_bit"), foreign.take("quantization_type", "nf4")
    by = str(foreign.take("quantization_method", "bnb")).lower()
    foreign.put("precision.quantization", "none", "quantization_bit")
    if by not in ("bnb", "bitsandbytes"):
        foreign.leave("quantization_method", ONLY(words="bnb"))
    elif bits == 4 and kind in ("nf4", "fp4"):
        foreign.put("precision.quantization", kind, "quantization_bit")
    elif bits == 8:
        foreign.put("precision.quantization", "int8", "quantization_bit")
    elif bits is not None:
        foreign.leave("quantization_bit", ONLY(words="4, 8"))


def _read_data(foreign: Foreign, stage: str) -> None:
    paths = [_set_path(foreign, name) for name in foreign.names("dataset")]
    foreign.put("dataset.train", [{"path": path} for path in paths], "dataset")
    held_out = foreign.names("eval_dataset")
    share = foreign.number("val_size", 0)
    if len(held_out) == 1:
        foreign.put("dataset.validation", _set_path(foreign, held_out[0]), "eval_dataset")
    else:
        foreign.put("dataset.validation", int(share) if share >= 1 or share == 0 else share, "val_size")
        if held_out:
            foreign.leave("eval_dataset", ONE_SET())
    if foreign.take("neat_packing") is True:
        foreign.put("dataset.packing", True, "neat_packing")
    elif stage == "pt" and "packing" not in foreign:
        foreign.put("dataset.packing", True, "stage")
    if stage == "pt" or foreign.take("train_on_prompt") is True:
        foreign.put("dataset.train_on", "all", "train_on_prompt")
    elif foreign.take("mask_history") is True:
        foreign.put("dataset.train_on", "last", "mask_history")
    foreign.take("train_on_prompt"), foreign.take("mask_history")
    if foreign.take("mix_strategy", "concat") != "concat":
        foreign.leave("mix_strategy", ONLY(words="concat"))
    if "interleave_probs" in foreign:
        foreign.leave("interleave_probs", NOT_A_MIX())


def _set_path(foreign: Foreign, name: str) -> str:
    """The recipe's path of a set: its place in dataset_info.json, or its name on the Hub."""
    folder = str(foreign.take("dataset_dir", "data"))
    if folder == "ONLINE":
        return name
    listed = f"{folder}/dataset_info.json"
    return f"{foreign.folder_with(listed) / listed}#{name}"


def _read_course(foreign: Foreign) -> None:
    accumulation = foreign.number("gradient_accumulation_steps", 1, int)
    rows = foreign.recipe.training.micro_batch
    foreign.put("training.batch", accumulation * rows if isinstance(rows, int) else rows, "gradient_accumulation_steps")
    if foreign.number("max_steps", -1, int) > 0:
        foreign.put("training.max_steps", foreign.take("max_steps"), "max_steps")
    steps, share = foreign.number("warmup_steps", 0), foreign.number("warmup_ratio", 0.0)
    if foreign.take("lr_scheduler_type") == "constant":
        steps, share = 0, 0.0  # which has no warm-up
    foreign.put("training.warmup", steps or float(share), "warmup_steps" if steps else "warmup_ratio")
    every = foreign.take("eval_steps")
    if every is not None and every != foreign.take("save_steps", 500):
        foreign.leave("eval_steps", WITH_CHECKPOINTS(steps=foreign.take("save_steps", 500)))
    for key in ("save_strategy", "eval_strategy", "evaluation_strategy"):
        if foreign.values.get(key) == "epoch":
            foreign.leave(key, ONLY(words="steps"))


def recipe_of(foreign: Foreign) -> Imported:
    """from_llama_factory, with the model's folder found where the file's relative path counts from."""
    imported = from_llama_factory(foreign)
    path = imported.recipe.model.path
    return Imported(imported.kind, anchored(imported.recipe, foreign.folder_with(path or ".")), imported.left)
