"""Counts from config.json alone against the model that transformers builds, to the unit."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.messages import Refusal
from finetty.backend.models import model_facts
from finetty.backend.models.configuration import Configuration
from finetty.backend.models.families import FAMILIES, SAME_DECODER, decoder_weights
from finetty.backend.models.layout import as_weights, embedding_weights, parameters_of, total
from finetty.backend.models.weights import Tensor

SMALL = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 40}
LOCAL_EXPERTS = {"num_local_experts": 5, "num_experts_per_tok": 2}
ROUTED = {
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "n_shared_experts": 2,
    "first_k_dense_replace": 2,
    "n_group": 2,
    "topk_group": 1,
}
LATENT = {
    "q_lora_rank": 28,
    "kv_lora_rank": 20,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "num_key_value_heads": 4,
    "head_dim": 8,
}
INDEXER = {"index_n_heads": 3, "index_head_dim": 16, "index_topk": 4}
DELTA = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 12,
    "linear_conv_kernel_dim": 4,
}
MAMBA = {
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_n_groups": 2,
    "mamba_d_state": 12,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
}
SHARED = {"shared_expert_intermediate_size": 72}
MIXED = ["linear_attention", "full_attention"] * 3
SIXFOLD = ["sliding_attention"] * 5 + ["full_attention"]
NEMOTRON = {
    "layers_block_type": ["mamba", "moe", "attention", "mlp", "mamba", "moe"],
    "mamba_num_heads": 8,
    "mamba_head_dim": 16,
    "n_groups": 2,
    "ssm_state_size": 12,
    "conv_kernel": 4,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "moe_shared_expert_intermediate_size": 56,
}
FIRST = dict.fromkeys(("intermediate_size", "num_key_value_heads", "head_dim"))
"""What the configurations of the first generation do not have."""
GEMMA3N = {
    "hidden_size_per_layer_input": 16,
    "vocab_size_per_layer_input": 300,
    "num_kv_shared_layers": 2,
    "altup_num_inputs": 3,
    "laurel_rank": 8,
    "intermediate_size": [96, 96, 96, 112, 112, 112],
    "layer_types": ["sliding_attention", "full_attention"] * 3,
}
GEMMA4 = {
    "hidden_size_per_layer_input": 16,
    "vocab_size_per_layer_input": 300,
    "global_head_dim": 40,
    "num_kv_shared_layers": 2,
}

CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in ("llama", "mistral", "ministral", "ministral3", "arcee", "apertus", "granite")),
    *((name, {}) for name in ("seed_oss", "smollm3", "ernie4_5", "hunyuan_v1_dense", "qwen2", "qwen3", "gemma")),
    *((name, {}) for name in ("gemma2", "gemma3_text", "vaultgemma", "olmo", "olmo2", "olmo3", "cohere2", "nemotron")),
    *((name, {"head_dim": 16}) for name in ("jais2", "granite_swa", "nanochat")),
    ("cwm", {}),
    ("solar_open", {**ROUTED, "first_k_dense_replace": 0}),
    ("gemma4_unified_text", {"global_head_dim": 40, "num_kv_shared_layers": 2}),
    ("phi3", {"head_dim": 16}),
    ("helium", {"head_dim": 16}),
    ("bitnet", {"head_dim": 16}),
    ("exaone4", {"sliding_window": 64, "sliding_window_pattern": 2}),
    ("glm", {"partial_rotary_factor": 0.5}),
    ("glm4", {"partial_rotary_factor": 0.5}),
    ("cohere", {"head_dim": 16}),
    ("cohere", {"head_dim": 16, "use_qk_norm": True}),
    ("mixtral", LOCAL_EXPERTS),
    ("gpt_oss", LOCAL_EXPERTS),
    ("minimax", {**LOCAL_EXPERTS, "layer_types": MIXED}),
    ("minimax_m2", LOCAL_EXPERTS),
    ("phimoe", {**LOCAL_EXPERTS, "head_dim": 16}),
    ("phimoe", {**LOCAL_EXPERTS, "head_dim": 16, "lm_head_bias": True}),
    ("granitemoe", {**LOCAL_EXPERTS, "head_dim": 16}),
    ("granitemoeshared", {**LOCAL_EXPERTS, "head_dim": 16, "shared_intermediate_size": 48}),
    ("granitemoeshared", {**LOCAL_EXPERTS, "head_dim": 16, "shared_intermediate_size": 0}),
    (
        "granitemoehybrid",
        {**LOCAL_EXPERTS, **MAMBA, "head_dim": 16, "shared_intermediate_size": 48, "layer_types": MIXED},
    ),
    (
        "granitemoehybrid",
        {
            **MAMBA,
            "num_local_experts": 0,
            "head_dim": 16,
            "shared_intermediate_size": 48,
            "layer_types": ["mamba", "attention"] * 3,
            "mamba_proj_bias": True,
            "mamba_conv_bias": False,
        },
    ),
    ("olmoe", {**EXPERTS, "head_dim": 16}),
    ("flex_olmo", {**EXPERTS, "head_dim": 16}),
    ("hunyuan_v1_moe", {"num_experts": 5, "moe_topk": 2}),
    (
        "ernie4_5_moe",
        {
            "moe_num_experts": 6,
            "moe_num_shared_experts": 2,
            "moe_intermediate_size": 40,
            "moe_layer_start_index": 1,
            "moe_layer_end_index": -1,
            "moe_layer_interval": 2,
        },
    ),
    ("hy_v3", {**EXPERTS, "num_shared_experts": 2, "mlp_layer_types": ["dense"] * 2 + ["sparse"] * 4}),
    ("exaone_moe", {**EXPERTS, "num_shared_experts": 2, "first_k_dense_replace": 2, "n_group": 1, "topk_group": 1}),
    ("qwen2_moe", {**EXPERTS, **SHARED}),
    ("qwen2_moe", {**EXPERTS, **SHARED, "qkv_bias": False, "mlp_only_layers": [1, 3]}),
    ("qwen3_moe", EXPERTS),
    ("qwen3_moe", {**EXPERTS, "decoder_sparse_step": 2, "mlp_only_layers": [3]}),
    ("qwen3_next", {**EXPERTS, **SHARED, **DELTA}),
    ("qwen3_5_text", DELTA),
    ("qwen3_5_text", {**DELTA, "layer_types": MIXED}),
    ("qwen3_5_text", {**DELTA, "full_attention_interval": 3}),
    ("qwen3_5_moe_text", {**EXPERTS, **SHARED, **DELTA}),
    ("deepseek_v2", {**ROUTED, **LATENT}),
    ("deepseek_v2", {**ROUTED, **LATENT, "q_lora_rank": None, "first_k_dense_replace": 0}),
    ("deepseek_v3", {**ROUTED, **LATENT}),
    ("deepseek_v32", {**ROUTED, **LATENT, **INDEXER}),
    ("glm_moe_dsa", {**ROUTED, **LATENT, **INDEXER}),
    ("glm4_moe_lite", {**ROUTED, **LATENT, "mlp_layer_types": ["dense"] * 2 + ["sparse"] * 4}),
    ("glm4_moe", ROUTED),
    ("glm4_moe", {**ROUTED, "use_qk_norm": True}),
    ("dots1", {**ROUTED, "n_group": 1}),
    ("youtu", LATENT),
    ("minicpm3", LATENT),
    ("gemma3n_text", GEMMA3N),
    ("gemma4_text", GEMMA4),
    ("gemma4_text", {**GEMMA4, "use_double_wide_mlp": True, "layer_types": SIXFOLD}),
    (
        "gemma4_text",
        {
            **EXPERTS,
            "enable_moe_block": True,
            "top_k_experts": 2,
            "hidden_size_per_layer_input": 0,
            "global_head_dim": 40,
            "attention_k_eq_v": True,
            "num_global_key_value_heads": 1,
            "num_kv_shared_layers": 0,
            "layer_types": ["sliding_attention", "full_attention"] * 3,
        },
    ),
    ("nemotron_h", NEMOTRON),
    ("nemotron_h", {**NEMOTRON, "moe_latent_size": 32, "use_bias": True, "use_conv_bias": False}),
    ("nemotron_h", {**NEMOTRON, "layers_block_type": None, "hybrid_override_pattern": "M-M*EE"}),
    ("falcon_h1", {**MAMBA, "mamba_d_ssm": 128}),
    ("falcon_h1", {**MAMBA, "mamba_d_ssm": None, "mamba_rms_norm": True, "projectors_bias": True}),
    (
        "jamba",
        {
            "num_experts": 5,
            "num_experts_per_tok": 2,
            "head_dim": 16,
            "attn_layer_period": 3,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_d_state": 12,
            "mamba_d_conv": 4,
            "mamba_expand": 2,
            "mamba_dt_rank": "auto",
        },
    ),
    (
        "lfm2",
        {
            "head_dim": 16,
            "conv_L_cache": 3,
            "block_multiple_of": 32,
            "block_ffn_dim_multiplier": 1.3,
            "layer_types": ["conv", "full_attention"] * 3,
        },
    ),
    ("lfm2", {"head_dim": 16, "conv_L_cache": 3, "block_auto_adjust_ff_dim": False, "full_attn_idxs": [2, 4]}),
    (
        "lfm2_moe",
        {
            **EXPERTS,
            "head_dim": 16,
            "conv_L_cache": 3,
            "num_dense_layers": 2,
            "layer_types": ["conv", "full_attention"] * 3,
        },
    ),
    ("llama4_text", {**LOCAL_EXPERTS, "intermediate_size_mlp": 112, "interleave_moe_layer_step": 1}),
    ("llama4_text", {**LOCAL_EXPERTS, "intermediate_size_mlp": 112, "interleave_moe_layer_step": 2}),
    ("phi", {"head_dim": 16}),
    ("phi", {"head_dim": 16, "qk_layernorm": True}),
    ("stablelm", {"head_dim": 16}),
    ("stablelm", {"head_dim": 16, "qk_layernorm": True, "use_qkv_bias": True, "use_parallel_residual": True}),
    ("starcoder2", {"head_dim": 16}),
    ("starcoder2", {"head_dim": 16, "use_bias": False}),
    ("persimmon", {"head_dim": 16}),
    ("gpt2", FIRST),
    ("gpt2", {**FIRST, "n_inner": 80}),
    ("gpt_bigcode", FIRST),
    ("gpt_bigcode", {**FIRST, "multi_query": False}),
    ("gpt_neo", {**FIRST, "attention_types": [[["global", "local"], 3]]}),
    ("gptj", {**FIRST, "rotary_dim": 8}),
    ("codegen", {**FIRST, "rotary_dim": 8}),
    ("gpt_neox", {**FIRST, "intermediate_size": 80}),
    ("gpt_neox", {**FIRST, "intermediate_size": 80, "attention_bias": False}),
    ("bloom", FIRST),
    ("falcon", {**FIRST, "new_decoder_architecture": False}),
    ("falcon", {**FIRST, "new_decoder_architecture": False, "multi_query": False, "parallel_attn": False}),
    ("falcon", {**FIRST, "new_decoder_architecture": True, "num_kv_heads": 2}),
    ("falcon", {**FIRST, "new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1}),
    ("falcon", {**FIRST, "new_decoder_architecture": False, "bias": True, "ffn_hidden_size": 80}),
    ("opt", {**FIRST, "ffn_dim": 80}),
    ("opt", {**FIRST, "ffn_dim": 80, "word_embed_proj_dim": 32, "do_layer_norm_before": False}),
]
"""A family and what it has beside the small sizes: every branch of its formula at least once."""

FULL: dict[str, dict[str, Any]] = {
    "dots1": {"n_routed_experts": 128, "n_shared_experts": 2},
    "gemma3n_text": {"num_hidden_layers": 35},
    "gpt_neo": {"attention_types": [[["global", "local"], 4]]},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128, "num_experts": 16, "moe_topk": 1},
    "lfm2_moe": {"layer_types": ["conv", "conv", "full_attention", "conv"] * 2},
    "ministral": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 8},
}
"""What some need beside their defaults."""

NESTED = {
    "llama": "llava llava_next llava_next_video video_llava vipllava idefics3 smolvlm voxtral deepseek_vl",
    "mistral": "mistral3 idefics2",
    "qwen2": "internvl qwen2_audio llava_onevision got_ocr2 ovis2",
    "gemma": "paligemma",
    "gemma3_text": "gemma3",
    "cohere2": "aya_vision cohere2_vision",
    "exaone4": "exaone4_5",
    "lfm2": "lfm2_vl",
    "granite": "granite_speech",
    "deepseek_v3": "kimi_k25",
    "glm4v_text": "glm4v glm46v",
    "glm4v_moe_text": "glm4v_moe",
    "glm_ocr_text": "glm_ocr",
    "llama4_text": "llama4",
    "mllama_text_model": "mllama",
    "qwen2_vl_text": "qwen2_vl",
    "qwen2_5_vl_text": "qwen2_5_vl",
    "qwen3_vl_text": "qwen3_vl",
    "qwen3_vl_moe_text": "qwen3_vl_moe",
    "qwen3_5_text": "qwen3_5 minicpmv4_6",
    "qwen3_5_moe_text": "qwen3_5_moe",
}
"""Models that see or hear, by their language model's family."""
ONLY_INSIDE = {"mllama_text_model": {"cross_attention_layers": [1, 4]}, "glm4v_moe_text": ROUTED}
WHOLE = [(whole, text) for text, names in NESTED.items() for whole in names.split()]
ROUTERS = {"gate", "router", "shared_expert_gate"}


def configured(model_type: str, values: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(model_type, **json.loads(json.dumps(values)))


def built(config: Any) -> Any:
    """transformers' own model, without memory for its weights."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM

    classes: tuple[Any, ...] = (AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM)
    auto = next(one for one in classes if type(config) in one._model_mapping)
    with torch.device("meta"):
        return auto.from_config(config)


def described(config: Any, *, briefly: bool = False) -> dict[str, Any]:
    """config.json as transformers writes it: with every value, or as it is saved."""
    found: dict[str, Any] = json.loads(config.to_json_string(use_diff=briefly))
    return found


def weights_of(values: dict[str, Any]) -> Any:
    return decoder_weights(Configuration(Path("config.json"), values, values))


def by_class(weights: Any) -> Counter[str]:
    found: Counter[str] = Counter()
    for weight in weights:
        found[weight.kind] += weight.elements
    return +found


def modules_by_class(model: Any) -> Counter[str]:
    """Elements of the model's parameters by what their modules are; a tied head is part of the embeddings."""
    found: Counter[str] = Counter()
    for name, module in model.named_modules():
        kind = kind_of(model, name, module)
        for parameter in dict(module.named_parameters(recurse=False)).values():
            found[kind] += parameter.numel()
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head.weight is embeddings.weight:
        found["head"] -= head.weight.numel()
    return +found


def kind_of(model: Any, name: str, module: Any) -> str:
    from torch import nn

    own = type(module).__name__
    if module is model.get_output_embeddings():
        return "head"
    for kind, belongs in {
        "embedding": isinstance(module, nn.Embedding),
        "norm": "Norm" in own,
        "expert": "Experts" in own,
        "router": bool(ROUTERS & set(name.split("."))),
        "linear": isinstance(module, nn.Linear) or own == "Conv1D",
    }.items():
        if belongs:
            return kind
    return "other"


def linear_layers(model: Any) -> dict[tuple[str, int, int], int]:
    found: Counter[tuple[str, int, int]] = Counter()
    for name, module in model.named_modules():
        if kind_of(model, name, module) == "linear":
            transposed = type(module).__name__ == "Conv1D"
            outputs, inputs = module.weight.shape[::-1] if transposed else module.weight.shape
            found[last_name(name), inputs, outputs] += 1
    return dict(found)


def linear_weights(weights: Any) -> dict[tuple[str, int, int], int]:
    found: Counter[tuple[str, int, int]] = Counter()
    for weight in weights:
        if weight.linear:
            outputs, inputs = weight.shape
            found[last_name(weight.name.removesuffix(".weight")), inputs, outputs] += weight.count
    return dict(found)


def last_name(name: str) -> str:
    return next(part for part in reversed(name.split(".")) if not part.isdigit() and part != "{}")


def named_parameters(model: Any) -> set[str]:
    return {name for name, _ in model.named_parameters(remove_duplicate=False)}


def stored(model: Any) -> list[Tensor]:
    """What a safetensors header would say of the model."""
    return [Tensor(name, "F32", tuple(tensor.shape)) for name, tensor in model.state_dict().items()]


@pytest.mark.parametrize("otherwise", [False, True], ids=["plain", "biased"])
@pytest.mark.parametrize(("model_type", "more"), CASES, ids=[name for name, _ in CASES])
def test_the_formula_is_exact_by_module_class(model_type: str, more: dict[str, Any], otherwise: bool) -> None:
    values = small(more)
    if otherwise:
        # Nemotron-H's class ties nothing, whatever its configuration says.
        tied = not FAMILIES[model_type].tied and model_type != "nemotron_h"
        values |= {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": tied}
    config = configured(model_type, values)
    model = built(config)
    weights = weights_of({"model_type": model_type, **values})
    assert weights is not None
    assert by_class(weights) == modules_by_class(model)
    assert linear_weights(weights) == linear_layers(model)
    assert by_class(weights_of(described(config))) == by_class(weights)
    kept = list(parameters_of(stored(model), SMALL["num_hidden_layers"]))
    assert {tensor.name for tensor in kept} == named_parameters(model), "buffers that are stored are no parameters"
    from_file = as_weights(kept, model_type)
    assert linear_weights(from_file) == linear_weights(weights)
    assert [one and one.shape for one in embedding_weights(from_file)][:1] == [
        one and one.shape for one in embedding_weights(weights)
    ][:1]


def small(more: dict[str, Any]) -> dict[str, Any]:
    values = {**SMALL, **more}
    return {key: value for key, value in values.items() if value is not None or key not in FIRST}


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


@pytest.mark.parametrize("model_type", sorted({name for name, _ in CASES}))
def test_at_full_width(model_type: str) -> None:
    """The sizes that transformers takes by default, those of each family's best known release; eight layers of it."""
    more = FULL.get(model_type, {})
    config = configured(model_type, {"num_hidden_layers": 8, **more})
    model = built(config)
    assert by_class(weights_of(described(config))) == modules_by_class(model)


@pytest.mark.parametrize(("model_type", "more"), CASES, ids=[name for name, _ in CASES])
def test_what_is_left_out_is_what_transformers_takes_or_unknown(model_type: str, more: dict[str, Any]) -> None:
    """No number may be a guess: with any key gone the count is that of the model which would be loaded, or none."""
    values = small(more)
    for key in values:
        fewer = without(values, key)
        try:
            whole = described(configured(model_type, fewer))
        except Exception:
            continue  # What transformers refuses has no count to compare with.
        found = weights_of({"model_type": model_type, **fewer})
        assert found is None or by_class(found) == by_class(weights_of(whole)), key


@pytest.mark.parametrize(("model_type", "text_type"), WHOLE, ids=[name for name, _ in WHOLE])
def test_the_language_model_inside_a_model_that_sees_or_hears(tmp_path: Path, model_type: str, text_type: str) -> None:
    config = whole_config(model_type, text_type)
    model = built(config)
    text = {id(one): one for part in (model.get_decoder(), model.get_output_embeddings()) for one in part.parameters()}
    for briefly in (False, True):
        (tmp_path / "config.json").write_text(json.dumps(described(config, briefly=briefly)))
        facts = model_facts(str(tmp_path))
        assert facts.trainable_text_parameters == sum(parameter.numel() for parameter in text.values())
        assert facts.vision_language
        assert facts.parameters is None, "the towers are not counted, so neither is the whole"


@pytest.mark.parametrize(
    "text",
    [
        {"model_type": "llama", "vocab_size": 32_064},
        {"model_type": "mistral", "vocab_size": 32_064, "intermediate_size": 14_336, "num_key_value_heads": 8},
    ],
)
def test_what_is_left_out_of_a_language_model_inside_another(tmp_path: Path, text: dict[str, Any]) -> None:
    """LLaVA-1.5 and LLaVA-NeXT, as they are published: no layers, no widths, no heads."""
    tower = {"model_type": "clip_vision_model", "num_hidden_layers": 1}
    config = configured("llava", {"text_config": text, "vision_config": tower})
    published = {"model_type": "llava", "text_config": text, "vision_config": tower}
    (tmp_path / "config.json").write_text(json.dumps(published))
    facts, model = model_facts(str(tmp_path)), built(config)
    parts = (model.get_decoder(), model.get_output_embeddings())
    assert facts.trainable_text_parameters == sum(one.numel() for part in parts for one in part.parameters())
    inside = config.text_config
    assert (facts.layers, facts.hidden_size) == (inside.num_hidden_layers, inside.hidden_size)
    assert (facts.attention_heads, facts.key_value_heads) == (inside.num_attention_heads, inside.num_key_value_heads)
    assert (facts.intermediate_size, facts.context_length) == (inside.intermediate_size, inside.max_position_embeddings)


@pytest.mark.parametrize(
    ("model_type", "name", "more"),
    [
        ("qwen2_5_omni", "Qwen2_5OmniThinkerForConditionalGeneration", {"model_type": "qwen2_5_omni_text"}),
        ("qwen3_omni_moe", "Qwen3OmniMoeThinkerForConditionalGeneration", EXPERTS),
    ],
)
def test_the_thinker_of_a_model_that_talks(tmp_path: Path, model_type: str, name: str, more: dict[str, Any]) -> None:
    import torch
    import transformers

    text = {"model_type": "qwen3_omni_moe_text", **SMALL, "head_dim": 16, **more}
    config = configured(model_type, {"thinker_config": {"text_config": text}})
    with torch.device("meta"):
        model = getattr(transformers, name)(config.thinker_config)
    (tmp_path / "config.json").write_text(json.dumps(described(config)))
    facts = model_facts(str(tmp_path))
    parts = (model.get_decoder(), model.get_output_embeddings())
    text_parameters = {id(one): one for part in parts for one in part.parameters()}.values()
    assert facts.trainable_text_parameters == sum(parameter.numel() for parameter in text_parameters)
    assert facts.vision_language


def whole_config(model_type: str, text_type: str) -> Any:
    """Small inside, with towers of one layer."""
    sections = type(configured(model_type, {})).sub_configs
    mores = (more for name, more in CASES if name in (text_type, SAME_DECODER.get(text_type)))
    text = {**SMALL, "head_dim": 16, **ONLY_INSIDE.get(text_type, next(mores, {})), "model_type": text_type}
    towers = {}
    for section in sections:
        if section in ("vision_config", "audio_config"):
            kind = getattr(configured(model_type, {}), section).model_type
            towers[section] = {"depth": 1, "num_hidden_layers": 1, "model_type": kind}
    return configured(model_type, {"text_config": text, **towers})


@pytest.mark.parametrize(
    ("values", "parameters"),
    [
        ("llama 128256 4096 14336 32 32 8 128", 8_030_261_248),
        ("qwen2 152064 3584 18944 28 28 4 128", 7_615_616_512),
        ("mistral 32000 4096 14336 32 32 8 128", 7_241_732_096),
    ],
)
def test_published_counts(values: str, parameters: int) -> None:
    """Llama-3.1-8B, Qwen2.5-7B and Mistral-7B, as their model cards count them."""
    model_type, *sizes = values.split()
    config = dict(zip(SMALL, map(int, sizes), strict=False))
    weights = weights_of({"model_type": model_type, **config, "tie_word_embeddings": False})
    assert total(weights) == parameters


def test_every_family_is_tested() -> None:
    inside = {text for _, text in WHOLE}
    assert set(FAMILIES) <= {name for name, _ in CASES} | inside | set(SAME_DECODER)
    assert len(FAMILIES) >= 88


def test_experts_in_one_parameter_are_no_linear_layers() -> None:
    """peft puts no adapter beside them; the shared expert's layers get one, its gate and the router do not."""
    values = {"model_type": "qwen2_moe", **SMALL, **EXPERTS, **SHARED}
    names = {name for name, _, _ in linear_weights(weights_of(values))}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    counts = linear_weights(weights_of(values))
    assert counts["gate_proj", 64, 72] == SMALL["num_hidden_layers"]


@pytest.mark.parametrize(
    "hostile",
    [
        {"layer_types": "full_attention"},
        {"layer_types": [["full_attention"]] * 6},
        {"layer_types": ["full_attention"]},
        {"layer_types": {"0": "full_attention"}},
        {"full_attention_interval": 0},
        {"linear_num_value_heads": None},
        {"tie_word_embeddings": "yes", "layer_types": [None] * 6},
    ],
)
def test_what_cannot_be_gets_no_number_and_no_traceback(hostile: dict[str, Any]) -> None:
    values = {"model_type": "qwen3_5_text", **SMALL, **DELTA, **hostile}
    weights = weights_of(values)
    assert weights is None or hostile.get("layer_types") in ([["full_attention"]] * 6, [None] * 6)


LISTS = ("layer_types", "mlp_layer_types", "layers_block_type", "hybrid_override_pattern", "indexer_types")
NUMBERED = ("mlp_only_layers", "moe_layers", "full_attn_idxs", "cross_attention_layers", "per_layer_config")
JUNK = (
    0,
    -1,
    1.5,
    10**30,
    True,
    "x",
    "M-*E",
    [],
    {},
    ["x"] * 6,
    [None] * 6,
    [[]] * 6,
    {"a": 1},
    {"0": {"head_dim": "x"}},
)


@pytest.mark.parametrize(("model_type", "more"), CASES, ids=[name for name, _ in CASES])
def test_junk_gets_a_refusal_or_no_number_and_never_a_traceback(model_type: str, more: dict[str, Any]) -> None:
    values = {"model_type": model_type, **small(more)}
    for key, junk in itertools.product({*more, *LISTS, *NUMBERED}, JUNK):
        try:
            weights = weights_of({**values, key: junk})
        except Refusal:
            continue
        assert weights is None or total(weights) > 0, (key, junk)


@pytest.mark.parametrize("value", [-1, 10**13, "64", 6.5, True, [64, -1], [64, "x"]])
@pytest.mark.parametrize(
    "key", ["hidden_size", "num_experts", "shared_expert_intermediate_size", "num_key_value_heads"]
)
def test_a_number_that_cannot_be_is_refused(key: str, value: object) -> None:
    with pytest.raises(Refusal):
        weights_of({"model_type": "qwen2_moe", **SMALL, **EXPERTS, **SHARED, key: value})


def test_attention_kernels_and_known_types_are_those_of_the_classes() -> None:
    """Read from transformers' source here, asked of its classes there."""
    import transformers

    from finetty.backend.models.transformers_here import known_types, refused_kernels

    names = {"llama": "LlamaForCausalLM", "bloom": "BloomForCausalLM", "gpt_oss": "GptOssForCausalLM"}
    for model_type, name in names.items():
        assert model_type in known_types()
        found = getattr(transformers, name)
        assert ("sdpa" in refused_kernels(model_type)) == (not found._supports_sdpa)
        assert found._supports_flash_attn or "fa2" in refused_kernels(model_type)
    assert refused_kernels("../../etc/passwd") == ()
