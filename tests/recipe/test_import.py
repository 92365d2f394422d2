"""Other tools' YAML becomes a recipe that learns the same; what could not come along is named with its line."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from ruamel.yaml import YAML

from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe, with_values
from finetty.backend.recipe.foreign import Imported
from finetty.backend.recipe.import_recipe import import_recipe
from finetty.backend.recipe.llama_factory import STRAIGHT
from finetty.backend.recipe.options import options, value_of
from finetty.backend.recipe.to_llama_factory import not_carried, to_llama_factory

LLAMA_FACTORY = """\
model_name_or_path: Qwen/Qwen3-4B-Instruct-2507
flash_attn: fa2
use_unsloth: true
enable_liger_kernel: true
quantization_bit: 4
quantization_type: fp4
double_quantization: false
deepspeed: examples/deepspeed/ds_z3_config.json
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: q_proj,v_proj
dataset: identity,alpaca_en_demo
template: qwen3
cutoff_len: 4096
neftune_noise_alpha: 5
output_dir: saves/x
overwrite_cache: false
save_steps: 500
report_to: wandb
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3
lr_scheduler_type: cosine_with_restarts
warmup_ratio: 0.1
bf16: true
resume_from_checkpoint: null
val_size: 0.1
eval_steps: 100
"""
AXOLOTL = """\
base_model: NousResearch/Meta-Llama-3.1-8B
load_in_4bit: true
adapter: qlora
sequence_len: 2048
sample_packing: true
chat_template: llama3
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
  - path: rows.jsonl
    type: chat_template
    field_messages: conversations
    message_property_mappings:
      role: from
      content: text
    shards: 4
val_set_size: 0.05
output_dir: ./out
lora_r: 32
lora_alpha: 16
lora_target_linear: true
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 4
optimizer: paged_adamw_32bit
lr_scheduler: cosine
learning_rate: 2e-4
flash_attention: true
warmup_steps: 10
special_tokens: {pad_token: x}
"""


def imported(folder: Path, text: str, name: str = "theirs.yaml") -> Imported:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return import_recipe(path)


def values(recipe: Recipe, *names: str) -> list[Any]:
    return [value_of(recipe, name) for name in names]


def test_llama_factory_becomes_the_recipe_that_learns_the_same(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset_info.json").write_text("{}")
    (tmp_path / "examples").mkdir()
    found = imported(tmp_path / "examples", LLAMA_FACTORY)
    recipe = found.recipe
    assert found.kind == "LLaMA-Factory"
    assert values(recipe, "model.path", "template.name", "dataset.cutoff") == [
        "Qwen/Qwen3-4B-Instruct-2507",
        "qwen3",
        4096,
    ]
    listed = tmp_path / "data" / "dataset_info.json"
    assert [file.path for file in recipe.dataset.train] == [f"{listed}#identity", f"{listed}#alpaca_en_demo"]
    assert values(recipe, "acceleration.attention", "acceleration.unsloth", "acceleration.liger") == ["fa2", True, True]
    assert values(recipe, "precision.quantization", "precision.double_quantization", "precision.compute") == [
        "fp4",
        False,
        "bf16",
    ]
    assert values(recipe, "method.name", "method.rank", "method.alpha", "method.targets") == [
        "lora",
        16,
        32,
        ["q_proj", "v_proj"],
    ]
    assert values(recipe, "training.micro_batch", "training.batch", "training.warmup", "dataset.validation") == [
        2,
        16,
        0.1,
        0.1,
    ]
    assert values(recipe, "training.weight_decay", "dataset.packing") == [0.0, False], "LLaMA-Factory's defaults"


def test_every_key_that_stayed_behind_is_named_with_its_line(tmp_path: Path) -> None:
    left = {one.key: one for one in imported(tmp_path, LLAMA_FACTORY).left}
    nothing = {key for key, one in left.items() if one.reason.id == "import.nothing_like"}
    assert nothing == {"deepspeed", "report_to"}
    assert left["lr_scheduler_type"].reason.text.startswith("finetty has only cosine")
    assert left["eval_steps"].line == 1 + LLAMA_FACTORY.splitlines().index("eval_steps: 100")
    assert {key for key, one in left.items() if one.reason.id == "import.by_itself"} == {"do_train", "output_dir"}
    carried = {line.partition(":")[0] for line in LLAMA_FACTORY.splitlines()} - left.keys()
    known = {str(option.llamafactory) for option in options().values()} | {
        "fp16", "bf16", "quantization_type", "gradient_accumulation_steps", "stage",
        "overwrite_cache", "resume_from_checkpoint",
    }  # fmt: skip
    assert carried <= known, "a key is neither an option's nor named"


@pytest.mark.parametrize(
    ("extra", "option", "value"),
    [
        ("pure_bf16: true", "precision.compute", "bf16"),
        ("fp16: true", "precision.compute", "fp16"),
        ("quantization_bit: 8", "precision.quantization", "int8"),
        ("", "precision.quantization", "none"),
        ("warmup_steps: 20\nwarmup_ratio: 0.1", "training.warmup", 20),
        ("lr_scheduler_type: constant\nwarmup_steps: 20", "training.warmup", 0.0),
        ("finetuning_type: freeze\nfreeze_trainable_layers: -3", "method.layers", -3),
        ("finetuning_type: freeze", "method.layers", 2),
        ("freeze_trainable_modules: mlp,self_attn", "method.modules", ["mlp", "self_attn"]),
        ("freeze_extra_modules: embed_tokens", "method.extra_modules", ["embed_tokens"]),
        ("max_steps: 30", "training.max_steps", 30),
        ("max_steps: -1", "training.max_steps", None),
        ("train_on_prompt: true", "dataset.train_on", "all"),
        ("mask_history: true", "dataset.train_on", "last"),
        ("stage: pt", "dataset.packing", True),
        ("neat_packing: true", "dataset.packing", True),
        ("disable_gradient_checkpointing: true", "training.gradient_checkpointing", False),
        ("optim: adamw_8bit", "training.optimizer", "adamw_8bit"),
        ("val_size: 40", "dataset.validation", 40),
        ("flash_attn: disabled", "acceleration.attention", "eager"),
        ("load_best_model_at_end: true", "output.best", True),
        ("lora_target: all", "method.targets", "all-linear"),
        ("", "training.learning_rate", 5e-5),
        ("", "training.batch", 8),
    ],
)
def test_a_llama_factory_key_is_the_option_it_means(tmp_path: Path, extra: str, option: str, value: Any) -> None:
    found = imported(tmp_path, f"model_name_or_path: a/b\n{extra}\n")
    assert value_of(found.recipe, option) == value
    assert not [one for one in found.left if one.key != "pure_bf16"]


def test_axolotl_becomes_the_recipe_that_learns_the_same(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    found = imported(tmp_path, AXOLOTL)
    recipe = found.recipe
    assert found.kind == "Axolotl"
    first, second = recipe.dataset.train
    assert (first.path, first.format) == ("tatsu-lab/alpaca", "alpaca")
    assert (second.path, second.columns) == (str(tmp_path / "rows.jsonl"), {"messages": "conversations"})
    assert values(recipe, "method.rank", "method.alpha", "method.targets") == [32, 16, "all-linear"]
    assert values(recipe, "precision.quantization", "acceleration.attention", "template.name") == [
        "nf4",
        "fa2",
        "llama3",
    ]
    assert values(recipe, "training.batch", "training.epochs", "training.warmup", "training.learning_rate") == [
        8,
        4,
        10,
        2e-4,
    ]
    named = {one.key: one.line for one in found.left if one.reason.id != "import.by_itself"}
    lines = AXOLOTL.splitlines()
    assert named == {
        "datasets.1.message_property_mappings.content": 1 + lines.index("      content: text"),
        "datasets.1.shards": 1 + lines.index("    shards: 4"),
        "optimizer": 1 + lines.index("optimizer: paged_adamw_32bit"),
        "special_tokens": len(lines),
    }


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("model_name_or_path: a\nlora_rank: -3\n", 2, "lora_rank cannot be -3: expected auto or a whole number"),
        ("model_name_or_path: a\nstage: dpo\n", 2, "another kind of training"),
        ("model_name_or_path: a\nval_size: some\n", 2, "val_size cannot be some: expected a number"),
        ("model_name_or_path: a\nbf16: [\n", 3, "not valid YAML"),
        ("base_model: a\nrl: dpo\n", 2, "another kind of training"),
        ("base_model: a\ndatasets: rows.jsonl\n", 2, "a list of sets"),
        ("finetty: 1\nmodel: {path: a}\n", None, "a recipe of finetty already"),
        ("name: x\n", None, "neither a LLaMA-Factory nor an Axolotl"),
        ("- 1\n", None, "something else"),
    ],
)
def test_bad_files_are_refused_with_their_line(tmp_path: Path, text: str, line: int | None, said: str) -> None:
    with pytest.raises(Refusal, match=said) as caught:
        imported(tmp_path, text)
    assert caught.value.path == tmp_path / "theirs.yaml"
    if line is not None:
        assert caught.value.line == line


def test_every_option_is_carried_or_named() -> None:
    """An option that somebody adds has its key in LLaMA-Factory, or is said not to have one."""
    recipe = Recipe()
    recipe.training.on_out_of_memory = "shrink"
    assert not_carried(recipe) == ["training.on_out_of_memory"]
    keys = to_llama_factory(recipe, sets=["a"], held_out=None, output="saves")
    always = {key for option, key in STRAIGHT.items() if value_of(recipe, option) not in ("auto", None)}
    assert always - keys.keys() <= {"freeze_trainable_modules", "freeze_extra_modules", "double_quantization"}


def recipes() -> some.SearchStrategy[dict[str, Any]]:
    """Options of resolved recipes, of every method; those that mean nothing to a method stay as they are."""
    shared: dict[str, some.SearchStrategy[Any]] = {
        "model.trust_remote_code": some.booleans(),
        "dataset.cutoff": some.integers(16, 32768),
        "dataset.packing": some.booleans(),
        "dataset.validation": some.one_of(some.integers(0, 500), some.floats(0.01, 0.5)),
        "dataset.train_on": some.sampled_from(["assistant", "all", "last"]),
        "template.name": some.sampled_from(["auto", "qwen3", "llama3"]),
        "template.system": some.one_of(some.none(), some.sampled_from(["Be kind: # always.", "你好", "yes"])),
        "template.thinking": some.booleans(),
        "precision.compute": some.sampled_from(["fp32", "bf16", "fp16"]),
        "acceleration.attention": some.sampled_from(["auto", "eager", "sdpa", "fa2", "fa3"]),
        "acceleration.unsloth": some.booleans(),
        "acceleration.liger": some.booleans(),
        "training.epochs": some.floats(0.1, 20),
        "training.max_steps": some.one_of(some.none(), some.integers(1, 10**6)),
        "training.learning_rate": some.floats(1e-6, 1e-2),
        "training.scheduler": some.sampled_from(["cosine", "linear", "constant"]),
        "training.warmup": some.one_of(some.integers(1, 500), some.floats(0, 0.5)),
        "training.optimizer": some.sampled_from(
            ["adamw", "adamw_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor"]
        ),
        "training.weight_decay": some.floats(0, 1),
        "training.max_grad_norm": some.floats(0.1, 10),
        "training.gradient_checkpointing": some.booleans(),
        "training.seed": some.integers(0, 2**32 - 1),
        "output.checkpoint_every": some.integers(1, 5000),
        "output.keep": some.integers(1, 10),
        "output.best": some.booleans(),
    }
    modules = some.lists(some.sampled_from(["q_proj", "mlp", "norm"]), min_size=1, unique=True)
    lora = {
        "method.rank": some.integers(1, 512),
        "method.alpha": some.floats(0.5, 1024),
        "method.dropout": some.floats(0, 0.5),
        "method.targets": some.one_of(some.just("all-linear"), modules),
        "method.rslora": some.booleans(),
        "method.dora": some.booleans(),
        "precision.quantization": some.sampled_from(["none", "nf4", "fp4", "int8"]),
    }
    freeze = {
        "method.layers": some.integers(-8, 8).filter(bool),
        "method.modules": some.one_of(some.just("all"), modules),
        "method.extra_modules": modules,
    }
    plain = {"precision.quantization": some.just("none")}
    return some.one_of(
        some.fixed_dictionaries({**shared, **lora, "method.name": some.just("lora")}),
        some.fixed_dictionaries({**shared, **freeze, **plain, "method.name": some.just("freeze")}),
        some.fixed_dictionaries({**shared, **plain, "method.name": some.just("full")}),
    )


@given(options_given=recipes(), rows=some.integers(1, 32), accumulation=some.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_what_is_exported_comes_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, options_given: dict[str, Any], rows: int, accumulation: int
) -> None:
    folder = tmp_path_factory.mktemp("exported")
    (folder / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.jsonl"}}))
    batches = {"training.micro_batch": rows, "training.batch": rows * accumulation}
    recipe = with_values(Recipe(), {"model.path": "a/b", **batches, **options_given})
    stream = StringIO()
    YAML().dump(to_llama_factory(recipe, sets=["rows"], held_out=None, output="saves/x"), stream)
    found = imported(folder, stream.getvalue())
    back = found.recipe
    assert [file.path for file in back.dataset.train] == [f"{folder / 'dataset_info.json'}#rows"]
    of_lora = {f"method.{name}" for name in ("rank", "alpha", "dropout", "targets", "rslora", "dora")}
    of_freeze = {f"method.{name}" for name in ("layers", "modules", "extra_modules")}
    others = {"lora": of_freeze, "freeze": of_lora, "full": of_lora | of_freeze}[recipe.method.name]
    for name in options().keys() - others - {"dataset.train", "precision.double_quantization"}:
        assert value_of(back, name) == value_of(recipe, name), name
    assert all(one.reason.id == "import.by_itself" for one in found.left)
