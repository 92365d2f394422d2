"""The live estimate against measured peaks and against arithmetic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from finetty.backend.memory import Job, predict
from finetty.backend.memory.trained import freeze_parameters, lora_parameters
from finetty.backend.models.facts import ModelFacts
from finetty.backend.models.folder import model_facts

QWEN = {
    "model_type": "qwen2",
    "vocab_size": 151_936,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": True,
}
"""Qwen2.5-1.5B-Instruct."""
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> ModelFacts:
    folder: Path = tmp_path_factory.mktemp("qwen")
    (folder / "config.json").write_text(json.dumps(QWEN))
    return model_facts(str(folder))


LORA = Job(rank=32, targets=ATTENTION, compute="fp16", checkpointing=True, accumulates=False, optimizer="adamw")


def test_the_adapter_is_exact(qwen: ModelFacts) -> None:
    """8,716,288 parameters, as peft counts them for rank 32 on the attention's four layers."""
    assert lora_parameters(qwen, ATTENTION, 32) == 8_716_288


def test_components_add_up_to_the_process(qwen: ModelFacts) -> None:
    for method in ("lora", "full"):
        for checkpointing in (False, True):
            job = Job(method=method, compute="bf16", checkpointing=checkpointing, micro_batch=2)  # type: ignore[arg-type]
            live = predict(job, qwen, "cuda")
            assert live is not None and live.allocated <= live.reserved <= live.process
            inside = sum(size for name, size in live.components.items() if name != "context")
            assert inside == live.allocated
            assert live.process == live.reserved + live.components["context"]


@pytest.mark.parametrize(
    "less",
    [
        {"micro_batch": 2},
        {"length": 512},
        {"checkpointing": True},
        {"compute": "bf16"},
        {"attention": "sdpa"},
        {"liger": True},
        {"loss": "chunked"},
        {"offloading": True},
        {"rank": 8},
    ],
)
def test_what_saves_memory_in_life_saves_it_here(qwen: ModelFacts, less: dict[str, object]) -> None:
    job = Job(rank=64, micro_batch=4, length=2048, attention="eager")
    more, fewer = predict(job, qwen, "cuda"), predict(replace(job, **less), qwen, "cuda")  # type: ignore[arg-type]
    assert more is not None and fewer is not None and fewer.allocated < more.allocated


def test_four_bits_hold_the_linear_layers_and_nothing_else(qwen: ModelFacts) -> None:
    job = Job(compute="bf16", quantization="nf4", double_quantization=False)
    live = predict(job, qwen, "cuda")
    linear = sum(module.parameters for module in qwen.linear_modules)
    assert live is not None and qwen.parameters is not None
    assert live.components["weights"] == 2 * (qwen.parameters - linear) + round(0.5625 * linear)


def test_full_tuning_in_fp32_takes_sixteen_bytes_a_parameter(qwen: ModelFacts) -> None:
    live = predict(Job(method="full", length=16, optimizer="adamw_fused"), qwen, "cpu")
    assert live is not None and qwen.parameters is not None
    stays = live.components["weights"] + live.components["gradients"] + live.components["optimizer"]
    assert stays == 16 * qwen.parameters


def test_frozen_layers_below_keep_no_activations(qwen: ModelFacts) -> None:
    job = Job(method="freeze", layers=2)
    top, bottom = predict(job, qwen, "cuda"), predict(replace(job, layers=-2), qwen, "cuda")
    assert top is not None and bottom is not None
    assert top.components["activations"] < bottom.components["activations"] / 5


def test_freeze_counts_whole_layers(qwen: ModelFacts) -> None:
    layer = 2 * 1536 * 1536 + 2 * 1536 * 256 + 1536 + 2 * 256 + 3 * 1536 * 8960 + 2 * 1536
    assert freeze_parameters(qwen, 3, "all", []) == 3 * layer
    assert freeze_parameters(qwen, 1, ["down_proj"], ["norm"]) == 1536 * 8960 + 1536
    assert freeze_parameters(qwen, 1, ["self_attn"], []) is None


def test_an_unknown_shape_has_no_number(qwen: ModelFacts) -> None:
    assert predict(LORA, replace(qwen, linear_modules=()), "cuda") is None
    assert predict(LORA, replace(qwen, hidden_size=None), "cuda") is None
