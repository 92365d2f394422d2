"""Which tensors a language model has, by its family: exact counts from config.json alone, or nothing.

A family names the blocks that its layers are built of. A test builds every one with transformers on the meta device
and demands the same counts to the unit. A family that is not here has no formula, and gets no number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from finetty.backend.models import schedules as at
from finetty.backend.models.blocks import (
    Attention,
    Block,
    DeltaNet,
    Experts,
    LatentAttention,
    Linear,
    Mamba2,
    Mlp,
    Norm,
    Only,
    Parameter,
    Weight,
    lightning_attention,
    mamba,
    short_convolution,
)
from finetty.backend.models.configuration import Configuration
from finetty.backend.models.dimensions import Dimensions, Rule, Size, Unknown


@dataclass(frozen=True)
class Family:
    """`layer`: what each layer is built of. `around`: what stands beside the layers, the last norm for one."""

    layer: tuple[Block, ...]
    around: tuple[Block, ...] = (Norm(),)
    tied: bool = False
    embedding: Size = "hidden_size"
    """Width of the embeddings and of the head."""
    embedded: Size = "vocab_size"
    """Rows of the input embeddings."""
    head_bias: Rule = False
    defaults: Mapping[str, int] = field(default_factory=dict)
    """What transformers takes where config.json is silent, for keys that published files leave out; flags are 0 or 1.
    0 key-value heads: as many as there are heads."""
    inside: Mapping[str, int] = field(default_factory=dict)
    """The same for a language model inside another model, whose published files leave out the more."""


def _of(*blocks: Block, tied: bool = False, **traits: Any) -> Family:
    return Family(blocks, tied=tied, **traits)


_BOTH: Any = {"bias": "attention_bias", "output_bias": "attention_bias"}
_ALL: Any = {"bias": True, "output_bias": True}
_AS_HEADS = {"num_key_value_heads": 0}
_GEMMA3 = {
    "vocab_size": 262_208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131_072,
}

_FUSED_MLP = Mlp(into=("gate_up_proj",), fused=True)
_SEVEN_BILLION = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32_000}
_LLAMA = _of(
    Attention(**_BOTH),
    Mlp(bias="mlp_bias"),
    Norm(2),
    defaults=_AS_HEADS,
    inside={**_SEVEN_BILLION, "intermediate_size": 11_008, "max_position_embeddings": 2048},
)
_MISTRAL = _of(
    Attention(),
    Mlp(),
    Norm(2),
    inside={
        **_SEVEN_BILLION,
        "intermediate_size": 14_336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131_072,
    },
)
_QWEN_EXPERTS = Experts(
    shared=Mlp("mlp.shared_expert", "shared_expert_intermediate_size"),
    shared_gate=True,
)
_GATED = Attention(**_BOTH, gated=True, norm="head")
_QWEN3_5 = {"full_attention_interval": 4, "head_dim": 256}
_OLMO2 = _of(Attention(**_BOTH, norm="whole"), Mlp(), Norm(2), defaults=_AS_HEADS)
_GPT_MLP = Mlp(width=at.four_times, into=("c_fc",), back="c_proj", bias=True)
_NEOX_MLP = Mlp(into=("dense_h_to_4h",), back="dense_4h_to_h", bias=True)
_GPT_ATTENTION = Attention("attn", **_ALL, key_values=at.all_heads, fused="c_attn", output="c_proj")
_POSITIONS = Parameter("wpe.weight", ("max_position_embeddings", "hidden_size"), "embedding")
_DEEPSEEK_SHARED = Mlp("mlp.shared_experts", at.product("n_shared_experts", "moe_intermediate_size"))
_DEEPSEEK_EXPERTS = Experts("n_routed_experts", shared=_DEEPSEEK_SHARED)
_SHARED_EXPERTS = Mlp("mlp.shared_experts", at.product("num_shared_experts", "moe_intermediate_size"))
_DEEPSEEK = Only(at.after_dense, _DEEPSEEK_EXPERTS, Mlp())
_LFM_NAMES: Any = {"module": "feed_forward", "into": ("w1", "w3"), "back": "w2"}
_LFM_OPERATOR = Only(at.attends_by_index, Attention(output="out_proj", norm="head"), short_convolution)
_GRANITE_EXPERTS = Experts("num_local_experts", "intermediate_size", "block_sparse_moe", "router")
_GRANITE_SHARED = Mlp("shared_mlp", "shared_intermediate_size", ("input_linear",), "output_linear", fused=True)
_PER_LAYER: tuple[Block, ...] = (
    Linear("per_layer_input_gate", "hidden_size", "hidden_size_per_layer_input"),
    Linear("per_layer_projection", "hidden_size_per_layer_input", "hidden_size"),
    Norm(),
)
_ALL_LAYERS = at.product("num_hidden_layers", "hidden_size_per_layer_input")
_PER_LAYER_INPUTS: tuple[Block, ...] = (
    Parameter("embed_tokens_per_layer.weight", ("vocab_size_per_layer_input", _ALL_LAYERS), "embedding"),
    Linear("per_layer_model_projection", "hidden_size", _ALL_LAYERS),
    Norm(width="hidden_size_per_layer_input"),
)

_GEMMA4_ATTENTION = Only(
    at.attends_globally,
    Attention(
        **_BOTH,
        head=at.global_head,
        key_values=at.global_keys,
        norm="head",
        shares_keys=at.shares_keys,
        no_values="attention_k_eq_v",
    ),
    Attention(**_BOTH, norm="head", shares_keys=at.shares_keys),
)

FAMILIES: Mapping[str, Family] = {
    "llama": _LLAMA,
    "mistral": _MISTRAL,
    "ministral": replace(_MISTRAL, inside={}),
    "ministral3": _of(Attention(), Mlp(), Norm(2), defaults={"head_dim": 128}),
    "mixtral": _of(Attention(), Experts("num_local_experts", "intermediate_size"), Norm(2)),
    "arcee": _of(Attention(**_BOTH), Mlp(into=("up_proj",), bias="mlp_bias"), Norm(2), defaults=_AS_HEADS),
    "apertus": _of(
        Attention(**_BOTH, norm="head"),
        Mlp(into=("up_proj",)),
        Parameter("mlp.act_fn.alpha_p", (1,)),
        Parameter("mlp.act_fn.alpha_n", (1,)),
        Norm(2),
        defaults=_AS_HEADS,
    ),
    "cwm": _of(Attention(), Mlp(bias="mlp_bias"), Norm(2), defaults={"head_dim": 128}),
    "nanochat": _of(Attention(**_BOTH), Mlp(into=("fc1",), back="fc2"), around=(), defaults={"num_key_value_heads": 0}),
    "jais2": _of(
        Attention(**_BOTH),
        Mlp(into=("up_proj",), bias="mlp_bias"),
        Norm(2, bias=True),
        around=(Norm(bias=True),),
        defaults={"attention_bias": 1, "mlp_bias": 1},
    ),
    "bitnet": _of(
        Attention(**_BOTH),
        Norm(name="self_attn.attn_sub_norm"),
        Mlp(),
        Norm(width="intermediate_size", name="mlp.ffn_sub_norm"),
        Norm(2),
    ),
    "helium": _of(Attention(bias="attention_bias"), Mlp(bias="mlp_bias"), Norm(2), defaults={"head_dim": 128}),
    "seed_oss": _of(
        Attention(bias="attention_bias", output_bias="attention_out_bias"),
        Mlp(bias="mlp_bias"),
        Norm(2),
        defaults={"head_dim": 128, "attention_bias": 1},
    ),
    "smollm3": _of(Attention(**_BOTH), Mlp(bias="mlp_bias"), Norm(2), tied=True),
    "ernie4_5": _of(
        Attention(bias="use_bias", output_bias="use_bias"),
        Mlp(bias="use_bias"),
        Norm(2),
        tied=True,
        defaults={"head_dim": 128},
    ),
    "ernie4_5_moe": _of(
        Attention(bias="use_bias", output_bias="use_bias"),
        Only(
            at.between,
            (
                Experts(
                    "moe_num_experts",
                    shared=Mlp(
                        "mlp.shared_experts",
                        at.product("moe_num_shared_experts", "moe_intermediate_size"),
                        bias="use_bias",
                    ),
                ),
                Parameter("mlp.gate.moe_statics.e_score_correction_bias", (1, "moe_num_experts"), "router"),
            ),
            Mlp(bias="use_bias"),
        ),
        Norm(2),
        tied=True,
    ),
    "gpt_oss": _of(
        Attention(**_BOTH, sinks=True),
        Experts("num_local_experts", "intermediate_size", router="router", router_bias=True, bias=True),
        Norm(2),
        defaults={"head_dim": 64, "attention_bias": 1},
    ),
    "hunyuan_v1_dense": _of(Attention(**_BOTH, norm="head"), Mlp(), Norm(2), defaults=_AS_HEADS),
    "hunyuan_v1_moe": _of(
        Attention(**_BOTH, norm="head"),
        Experts("num_experts", "intermediate_size", router="gate.wg", shared=Mlp("mlp.shared_mlp")),
        Norm(2),
        defaults=_AS_HEADS,
    ),
    "hy_v3": _of(
        Attention(**_BOTH, norm="head"),
        Only(
            at.after_first,
            Experts(shared=replace(_SHARED_EXPERTS, bias="mlp_bias")),
            Mlp(bias="mlp_bias"),
        ),
        Norm(2),
        defaults={"head_dim": 128},
    ),
    "exaone4": _of(Attention(norm="head"), Mlp(), Norm(2)),
    "exaone_moe": _of(
        Attention(norm="head"),
        Only(
            at.after_dense,
            Experts(shared=_SHARED_EXPERTS),
            Mlp(),
        ),
        Norm(2),
    ),
    "minimax": _of(
        Only(at.attends, Attention(), lightning_attention),
        Experts("num_local_experts", "intermediate_size"),
        Norm(2),
    ),
    "minimax_m2": _of(
        Attention(norm="whole"), Experts("num_local_experts", "intermediate_size"), Norm(2), defaults={"head_dim": 128}
    ),
    # Qwen
    "qwen2": _of(Attention(bias=True), Mlp(), Norm(2)),
    "qwen2_moe": _of(
        Attention(bias="qkv_bias"),
        Only(at.sparse_step, _QWEN_EXPERTS, Mlp()),
        Norm(2),
        defaults={"qkv_bias": 1},
    ),
    "qwen3": _of(Attention(**_BOTH, norm="head"), Mlp(), Norm(2), defaults={"head_dim": 128}),
    "qwen3_moe": _of(Attention(**_BOTH, norm="head"), Only(at.sparse_step, Experts(), Mlp()), Norm(2)),
    "qwen3_next": _of(
        Only(at.attends_at_intervals, _GATED, DeltaNet(fused=True)),
        Only(at.sparse_step, _QWEN_EXPERTS, Mlp()),
        Norm(2),
        defaults=_QWEN3_5,
    ),
    "qwen3_5_text": _of(Only(at.attends_at_intervals, _GATED, DeltaNet()), Mlp(), Norm(2), defaults=_QWEN3_5),
    "qwen3_5_moe_text": _of(
        Only(at.attends_at_intervals, _GATED, DeltaNet()), _QWEN_EXPERTS, Norm(2), defaults=_QWEN3_5
    ),
    # Gemma
    "gemma": _of(Attention(**_BOTH), Mlp(), Norm(2), tied=True, defaults={"head_dim": 256}),
    "gemma2": _of(Attention(**_BOTH), Mlp(), Norm(4), tied=True, defaults={"head_dim": 256}),
    "vaultgemma": _of(Attention(**_BOTH), Mlp(), Norm(2), tied=True, defaults={"head_dim": 256}),
    "gemma3_text": _of(Attention(**_BOTH, norm="head"), Mlp(), Norm(4), tied=True, defaults=_GEMMA3),
    "gemma3n_text": _of(
        Attention(**_BOTH, norm="head", shares_keys=at.shares_keys),
        Mlp(width=at.width_of_layer),
        Norm(4),
        *_PER_LAYER,
        Parameter("altup.correct_output_scale", ("hidden_size",)),
        Linear("altup.correction_coefs", "altup_num_inputs", "altup_num_inputs"),
        Linear("altup.prediction_coefs", "altup_num_inputs", at.product("altup_num_inputs", "altup_num_inputs")),
        Linear("altup.modality_router", "hidden_size", "altup_num_inputs"),
        Norm(name="altup.router_norm"),
        Linear("laurel.linear_left", "hidden_size", "laurel_rank"),
        Linear("laurel.linear_right", "laurel_rank", "hidden_size"),
        Norm(name="laurel.post_laurel_norm"),
        around=(
            Norm(),
            *_PER_LAYER_INPUTS,
            *(
                Linear(f"{name}.{{}}", "hidden_size", "hidden_size", count=at.more("altup_num_inputs", -1))
                for name in ("altup_projections", "altup_unembed_projections")
            ),
        ),
        tied=True,
        defaults={"head_dim": 256},
    ),
    "gemma4_text": _of(
        _GEMMA4_ATTENTION,
        Mlp(width=at.wide_where_shared),
        Norm(4),
        Only(at.above_zero("hidden_size_per_layer_input"), _PER_LAYER),
        Only(
            at.switched("enable_moe_block"),
            (
                Parameter("router.scale", ("hidden_size",), "router"),
                Parameter("router.per_expert_scale", ("num_experts",), "router"),
                Parameter("router.proj.weight", ("num_experts", "hidden_size"), "router"),
                Parameter(
                    "experts.gate_up_proj",
                    ("num_experts", at.product(2, "moe_intermediate_size"), "hidden_size"),
                    "expert",
                ),
                Parameter("experts.down_proj", ("num_experts", "hidden_size", "moe_intermediate_size"), "expert"),
                Norm(3),
            ),
        ),
        around=(Norm(), Only(at.above_zero("hidden_size_per_layer_input"), _PER_LAYER_INPUTS)),
        tied=True,
        defaults={"head_dim": 256},
    ),
    "gemma4_unified_text": _of(
        _GEMMA4_ATTENTION, Mlp(width=at.wide_where_shared), Norm(4), tied=True, defaults={"head_dim": 256}
    ),
    # Phi
    "phi": _of(
        Attention(**_ALL, output="dense", norm="head", norm_when="qk_layernorm", norm_bias=True),
        Mlp(into=("fc1",), back="fc2", bias=True),
        Norm(bias=True),
        around=(Norm(bias=True),),
        head_bias=True,
        defaults=_AS_HEADS,
    ),
    "phi3": _of(Attention(fused="qkv_proj"), _FUSED_MLP, Norm(2), defaults=_AS_HEADS),
    "phimoe": _of(
        Attention(**_BOTH),
        Experts("num_local_experts", "intermediate_size", router="router"),
        Norm(2, bias=True),
        around=(Norm(bias=True),),
        head_bias="lm_head_bias",
    ),
    # OLMo
    "olmo": _of(Attention(**_BOTH), Mlp(), around=(), defaults=_AS_HEADS),
    "olmo2": _OLMO2,
    "olmo3": _OLMO2,
    "olmoe": _of(Attention(**_BOTH, norm="whole"), Experts(width="intermediate_size"), Norm(2), defaults=_AS_HEADS),
    "flex_olmo": _of(Attention(**_BOTH, norm="whole"), Experts(width="intermediate_size"), Norm(2), defaults=_AS_HEADS),
    # Granite
    "granite": replace(_LLAMA, inside={}),
    "granite_swa": _of(Attention(**_BOTH, sinks=True), Mlp(bias="mlp_bias"), Norm(2), tied=True),
    "granitemoe": _of(Attention(**_BOTH), _GRANITE_EXPERTS, Norm(2), defaults=_AS_HEADS),
    "granitemoeshared": _of(
        Attention(**_BOTH),
        _GRANITE_EXPERTS,
        Only(at.above_zero("shared_intermediate_size"), _GRANITE_SHARED),
        Norm(2),
        defaults=_AS_HEADS,
    ),
    "granitemoehybrid": _of(
        Only(at.attends, Attention(**_BOTH), Mamba2(at.product("mamba_expand", "hidden_size"))),
        Only(at.above_zero("num_local_experts"), _GRANITE_EXPERTS),
        _GRANITE_SHARED,
        Norm(2),
        defaults={**_AS_HEADS, "mamba_conv_bias": 1},
    ),
    # GLM
    "glm": _of(
        Attention(bias="attention_bias"),
        _FUSED_MLP,
        Norm(2),
        defaults={"head_dim": 128, "attention_bias": 1},
    ),
    "glm4": _of(
        Attention(bias="attention_bias"),
        _FUSED_MLP,
        Norm(4),
        defaults={"head_dim": 128, "attention_bias": 1},
    ),
    "glm_ocr_text": _of(Attention(), _FUSED_MLP, Norm(4)),
    "glm4v_text": _of(Attention(bias=True), _FUSED_MLP, Norm(4)),
    "glm4_moe": _of(Attention(bias="attention_bias", norm="head", norm_when="use_qk_norm"), _DEEPSEEK, Norm(2)),
    "glm4v_moe_text": _of(Attention(bias="attention_bias"), _DEEPSEEK, Norm(2)),
    "glm4_moe_lite": _of(LatentAttention(), Only(at.after_first, _DEEPSEEK_EXPERTS, Mlp()), Norm(2)),
    "glm_moe_dsa": _of(LatentAttention(at.full_indexer), _DEEPSEEK, Norm(2)),
    # DeepSeek and its likes
    "deepseek_v2": _of(
        LatentAttention(),
        Only(
            at.after_dense,
            Experts("n_routed_experts", shared=replace(_DEEPSEEK_SHARED, bias="mlp_bias")),
            Mlp(bias="mlp_bias"),
        ),
        Norm(2),
    ),
    "deepseek_v3": _of(LatentAttention(), _DEEPSEEK, Norm(2)),
    "deepseek_v32": _of(LatentAttention(at.switched(True)), _DEEPSEEK, Norm(2)),
    "youtu": _of(LatentAttention(), Mlp(), Norm(2), tied=True),
    "minicpm3": _of(LatentAttention(), Mlp(bias="mlp_bias"), Norm(2), tied=True),
    "solar_open": _of(Attention(bias="attention_bias"), _DEEPSEEK_EXPERTS, Norm(2), defaults={"head_dim": 128}),
    "dots1": _of(Attention(**_BOTH, norm="head"), _DEEPSEEK, Norm(2)),
    # Cohere, Nemotron, StableLM, StarCoder, Persimmon
    "cohere": _of(
        Attention(**_BOTH, norm="each", norm_when="use_qk_norm"), Mlp(), Norm(), tied=True, defaults=_AS_HEADS
    ),
    "cohere2": _of(Attention(**_BOTH), Mlp(), Norm(), tied=True, defaults=_AS_HEADS),
    "nemotron": _of(
        Attention(**_BOTH),
        Mlp(into=("up_proj",), bias="mlp_bias"),
        Norm(2, bias=True),
        around=(Norm(bias=True),),
    ),
    "nemotron_h": _of(
        Norm(),
        Only(at.block_type("full_attention"), Attention("mixer")),
        Only(at.block_type("mlp"), Mlp("mixer", into=("up_proj",), bias="mlp_bias")),
        Only(
            at.block_type("linear_attention"),
            Mamba2(
                at.product("mamba_num_heads", "mamba_head_dim"),
                "mamba_num_heads",
                "n_groups",
                "ssm_state_size",
                "conv_kernel",
                "mixer",
                "use_bias",
                "use_bias",
                "use_conv_bias",
            ),
        ),
        Only(
            at.block_type("moe"),
            (
                Experts(
                    "n_routed_experts",
                    module="mixer",
                    gated=False,
                    inputs=at.latent_width,
                    shared=Mlp(
                        "mixer.shared_experts",
                        "moe_shared_expert_intermediate_size",
                        ("up_proj",),
                        bias="mlp_bias",
                    ),
                ),
                Only(
                    at.written("moe_latent_size"),
                    (
                        Linear("mixer.fc1_latent_proj", "hidden_size", "moe_latent_size", "mlp_bias"),
                        Linear("mixer.fc2_latent_proj", "moe_latent_size", "hidden_size", "mlp_bias"),
                    ),
                ),
            ),
        ),
        defaults={"head_dim": 128, "use_conv_bias": 1},
    ),
    "stablelm": _of(
        Attention(bias="use_qkv_bias", norm="each", norm_when="qk_layernorm"),
        Mlp(),
        Norm(at.two_or_one("use_parallel_residual"), bias=True),
        around=(Norm(bias=True),),
    ),
    "starcoder2": _of(
        Attention(bias="use_bias", output_bias="use_bias"),
        Mlp(into=("c_fc",), back="c_proj", bias="use_bias"),
        Norm(2, bias=True),
        around=(Norm(bias=True),),
        tied=True,
        defaults={"use_bias": 1},
    ),
    "persimmon": _of(
        Attention(
            **_ALL,
            key_values=at.all_heads,
            fused="query_key_value",
            output="dense",
            norm="head",
            norm_when="qk_layernorm",
            norm_bias=True,
        ),
        _NEOX_MLP,
        Norm(2, bias=True),
        around=(Norm(bias=True),),
        defaults={"qk_layernorm": 1},
    ),
    # Llama 3.2 Vision and Llama 4
    "mllama_text_model": _of(
        Only(
            at.crosses,
            (
                Attention("cross_attn", norm="head"),
                Parameter("cross_attn_attn_gate", (1,)),
                Parameter("cross_attn_mlp_gate", (1,)),
            ),
            Attention(),
        ),
        Mlp(),
        Norm(2),
        embedded=at.more("vocab_size", 8),
    ),
    "llama4_text": _of(
        Attention(**_BOTH),
        Only(
            at.every_step,
            Experts(
                "num_local_experts",
                "intermediate_size",
                "feed_forward",
                "router",
                shared=Mlp("feed_forward.shared_expert"),
            ),
            Mlp("feed_forward", "intermediate_size_mlp"),
        ),
        Norm(2),
        defaults={"head_dim": 128},
    ),
    # State spaces and convolutions
    "falcon_h1": _of(
        Attention(**_BOTH),
        Mamba2(at.state_width, output_bias="projectors_bias", norm="mamba_rms_norm"),
        Mlp("feed_forward", bias="mlp_bias"),
        Norm(2),
        defaults={"mamba_conv_bias": 1},
    ),
    "jamba": _of(
        Only(at.attends_periodically, Attention(), mamba),
        Only(
            at.expert_periodically,
            Experts(width="intermediate_size", module="feed_forward", router="router"),
            Mlp("feed_forward"),
        ),
        Norm(2),
        defaults={"mamba_conv_bias": 1},
    ),
    "lfm2": _of(
        _LFM_OPERATOR,
        Mlp(width=at.adjusted_width, **_LFM_NAMES),
        Norm(2),
        tied=True,
        defaults={"block_auto_adjust_ff_dim": 1},
    ),
    "lfm2_moe": _of(
        _LFM_OPERATOR,
        Only(at.after_dense_layers, Experts(module="feed_forward"), Mlp(**_LFM_NAMES)),
        Norm(2),
        tied=True,
    ),
    # The first generation
    "gpt2": _of(_GPT_ATTENTION, _GPT_MLP, Norm(2, bias=True), around=(Norm(bias=True), _POSITIONS), tied=True),
    "gpt_bigcode": _of(
        Attention("attn", **_ALL, key_values=at.bigcode_keys, fused="c_attn", output="c_proj"),
        _GPT_MLP,
        Norm(2, bias=True),
        around=(Norm(bias=True), _POSITIONS),
        tied=True,
        defaults={"multi_query": 1},
    ),
    "gpt_neo": _of(
        Attention("attn.attention", output_bias=True, key_values=at.all_heads, output="out_proj"),
        _GPT_MLP,
        Norm(2, bias=True),
        around=(Norm(bias=True), _POSITIONS),
        tied=True,
    ),
    "gptj": _of(
        Attention("attn", key_values=at.all_heads, output="out_proj"),
        Mlp(width=at.four_times, into=("fc_in",), back="fc_out", bias=True),
        Norm(bias=True),
        around=(Norm(bias=True),),
        head_bias=True,
    ),
    "codegen": _of(
        Attention("attn", key_values=at.all_heads, fused="qkv_proj", output="out_proj"),
        Mlp(width=at.four_times, into=("fc_in",), back="fc_out", bias=True),
        Norm(bias=True),
        around=(Norm(bias=True),),
        head_bias=True,
    ),
    "gpt_neox": _of(
        Attention("attention", **_BOTH, key_values=at.all_heads, fused="query_key_value", output="dense"),
        _NEOX_MLP,
        Norm(2, bias=True),
        around=(Norm(bias=True),),
        defaults={"attention_bias": 1},
    ),
    "bloom": _of(
        Attention("self_attention", **_ALL, key_values=at.all_heads, fused="query_key_value", output="dense"),
        Mlp(width=at.product(4, "hidden_size"), into=("dense_h_to_4h",), back="dense_4h_to_h", bias=True),
        Norm(2, bias=True),
        around=(Norm(2, bias=True),),
        tied=True,
    ),
    "falcon": _of(
        Attention(
            "self_attention",
            bias="bias",
            output_bias="bias",
            key_values=at.falcon_keys,
            fused="query_key_value",
            output="dense",
        ),
        Mlp(width=at.four_times, into=("dense_h_to_4h",), back="dense_4h_to_h", bias="bias"),
        Norm(at.falcon_norms, bias=True),
        around=(Norm(bias=True),),
        tied=True,
        defaults={"multi_query": 1, "parallel_attn": 1},
    ),
    "opt": _of(
        Attention(bias="enable_bias", output_bias="enable_bias", key_values=at.all_heads, output="out_proj"),
        Mlp("", into=("fc1",), back="fc2", bias="enable_bias"),
        Norm(2, bias=True),
        around=(
            Norm(at.one_if("do_layer_norm_before"), bias=True),
            Parameter("embed_positions.weight", (at.more("max_position_embeddings", 2), "hidden_size"), "embedding"),
            Only(
                at.narrow_embedding,
                (
                    Linear("project_in", at.embedding_width, "hidden_size"),
                    Linear("project_out", "hidden_size", at.embedding_width),
                ),
            ),
        ),
        tied=True,
        embedding=at.embedding_width,
        defaults={"enable_bias": 1, "do_layer_norm_before": 1},
    ),
}

SAME_DECODER = {
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "glm4v": "glm4v_text",
    "gemma4_unified": "gemma4_unified_text",
    "kimi_k2": "deepseek_v3",
    "llama4": "llama4_text",
    "mllama": "mllama_text_model",
    "pixtral": "mistral",
    "qwen2_5_omni_text": "qwen2",
    "qwen2_5_vl": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen2_vl": "qwen2",
    "qwen2_vl_text": "qwen2",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_omni_moe_text": "qwen3_moe",
    "qwen3_vl": "qwen3",
    "qwen3_vl_moe": "qwen3_moe",
    "qwen3_vl_moe_text": "qwen3_moe",
    "qwen3_vl_text": "qwen3",
}
"""Model types whose language model is another family's, tensor for tensor."""


def family_of(configuration: Configuration) -> Family | None:
    name = configuration.text_type
    return FAMILIES.get(SAME_DECODER.get(name, name))


def defaults_of(configuration: Configuration) -> Mapping[str, int]:
    """What transformers takes for keys that this model's config.json may leave out."""
    family = family_of(configuration)
    if family is None:
        return {}
    return {**family.defaults, **family.inside} if configuration.nested else family.defaults


def decoder_weights(configuration: Configuration) -> tuple[Weight, ...] | None:
    """Every parameter of the language model with its head, exactly; None for a family without a formula, or where
    config.json leaves out what the formula needs. Raises Refusal for numbers that cannot be."""
    family = family_of(configuration)
    if family is None:
        return None
    counted: Counter[Weight] = Counter()
    try:
        for weight in _decoder(Dimensions(configuration, defaults_of(configuration)), family, configuration.tied):
            counted[replace(weight, count=1)] += weight.count
    except Unknown:
        return None
    return tuple(replace(weight, count=count) for weight, count in counted.items())


def _decoder(d: Dimensions, family: Family, tied: bool | None) -> Iterator[Weight]:
    width = d.size(family.embedding)
    yield Weight("model.embed_tokens.weight", (d.size(family.embedded), width), "embedding")
    for layer in range(d.layers):
        for block in family.layer:
            for weight in block(d, layer):
                yield replace(weight, name=f"model.layers.{{}}.{weight.name}")
    for block in family.around:
        for weight in block(d, 0):
            yield replace(weight, name=f"model.{weight.name}")
    if not (family.tied if tied is None else tied):
        yield Weight("lm_head.weight", (d["vocab_size"], width), "head")
    if d.yes(family.head_bias):
        yield Weight("lm_head.bias", (d["vocab_size"],), "head")
