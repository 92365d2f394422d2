"""Which layers of a mixture of experts get an adapter."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from finetty.backend.recipe import Recipe
from finetty.backend.training.methods import with_adapter


@pytest.mark.parametrize(
    ("model_type", "beside"),
    [
        ("qwen3_moe", set()),
        ("qwen2_moe", {f"mlp.shared_expert.{name}" for name in ("gate_proj", "up_proj", "down_proj")}),
    ],
)
def test_of_a_mixture_attention_and_shared_experts_get_an_adapter(model_type: str, beside: set[str]) -> None:
    """Never a router, which it would unbalance, nor the fused experts. On tensors that hold nothing."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    config = AutoConfig.for_model(model_type, **sizes, **experts, shared_expert_intermediate_size=16, vocab_size=97)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        recipe = Recipe.model_validate({"finetty": 1, "method": {"name": "lora", "rank": 4, "alpha": 8}})
        adapted = with_adapter(model, recipe)
    attention = {f"self_attn.{name}_proj" for name in "qkvo"}
    trained = {name.partition(".lora_")[0] for name, one in adapted.named_parameters() if one.requires_grad}
    wanted = {f"base_model.model.model.layers.{layer}.{name}" for layer in (0, 1) for name in attention | beside}
    assert trained == wanted
    assert any("experts" in name for name, _ in model.named_parameters()), "there are experts to be left alone"
