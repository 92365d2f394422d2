"""Counts from config.json alone against the model that transformers builds, to the unit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.models import model_facts
from finetty.backend.models.families import FAMILIES

SMALL = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MORE: dict[str, dict[str, Any]] = {
    "phi3": {"head_dim": 16},
    "glm": {"partial_rotary_factor": 0.5},
    "glm4": {"partial_rotary_factor": 0.5},
    "mixtral": {"num_local_experts": 4},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "exaone4": {"sliding_window": 64, "sliding_window_pattern": 2},
}


def built(model_type: str, values: dict[str, Any]) -> Any:
    """transformers' own model, without memory for its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **values))


def facts_of(folder: Path, model_type: str, values: dict[str, Any]) -> Any:
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, **values}))
    return model_facts(str(folder))


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_formula_is_exact(tmp_path: Path, model_type: str, biases: bool) -> None:
    values = {**SMALL, **MORE.get(model_type, {})}
    if biases:
        values |= {"attention_bias": True, "mlp_bias": True}
    model = built(model_type, values)
    facts = facts_of(tmp_path, model_type, values)
    assert facts.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert facts.tied_embeddings == bool(model.config.tie_word_embeddings)
    assert {(one.name, one.inputs, one.outputs): one.count for one in facts.linear_modules} == linear_layers(model)


def linear_layers(model: Any) -> dict[tuple[str, int, int], int]:
    from torch import nn

    found: dict[tuple[str, int, int], int] = {}
    for name, module in model.named_modules():
        own = name.rpartition(".")[2]
        if isinstance(module, nn.Linear) and own not in ("lm_head", "gate", "router"):
            key = (own, module.in_features, module.out_features)
            found[key] = found.get(key, 0) + 1
    return found


def test_what_gemma_3_leaves_out_is_what_transformers_takes(tmp_path: Path) -> None:
    """Published Gemma 3 files leave out every number that equals the family's default."""
    model = built("gemma3_text", {})
    facts = facts_of(tmp_path, "gemma3_text", {})
    assert facts.parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("values", "parameters"),
    [
        ("llama 128256 4096 14336 32 32 8 128", 8_030_261_248),
        ("qwen2 152064 3584 18944 28 28 4 128", 7_615_616_512),
        ("mistral 32000 4096 14336 32 32 8 128", 7_241_732_096),
    ],
)
def test_published_counts(tmp_path: Path, values: str, parameters: int) -> None:
    """Llama-3.1-8B, Qwen2.5-7B and Mistral-7B, as their model cards count them."""
    model_type, *sizes = values.split()
    config = dict(zip(SMALL, map(int, sizes), strict=False))
    assert facts_of(tmp_path, model_type, {**config, "tie_word_embeddings": False}).parameters == parameters


def test_attention_kernels_and_known_types_are_those_of_the_classes() -> None:
    """Read from transformers' source here, asked of its classes there."""
    import transformers

    from finetty.backend.models.transformers_here import known_types, refused_kernels

    for model_type in FAMILIES:
        assert model_type in known_types()
    names = {"llama": "LlamaForCausalLM", "bloom": "BloomForCausalLM", "gpt_oss": "GptOssForCausalLM"}
    for model_type, name in names.items():
        found = getattr(transformers, name)
        assert ("sdpa" in refused_kernels(model_type)) == (not found._supports_sdpa)
        assert found._supports_flash_attn or "fa2" in refused_kernels(model_type)
    assert refused_kernels("../../etc/passwd") == ()
