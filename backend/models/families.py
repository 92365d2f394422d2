"""Which tensors a language model has, by its family: exact counts from config.json alone, or nothing.

Each family states only how its decoder differs from Llama's. A test builds every one with transformers on the meta
device and demands the same counts to the unit. A family that is not here has no formula, and gets no number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from finetty.backend.models.configuration import Configuration


@dataclass(frozen=True)
class Weight:
    """`count` equal tensors of one name; `{}` in it stands for the layer's number. `linear`: an nn.Linear's matrix."""

    name: str
    shape: tuple[int, ...]
    count: int = 1
    linear: bool = False

    @property
    def elements(self) -> int:
        size = self.count
        for length in self.shape:
            size *= length
        return size


@dataclass(frozen=True)
class Family:
    """A decoder's traits. A bias is True, False, or the key of config.json that says so (absent: False, but for
    the keys in `biased`)."""

    qkv_bias: bool | str = False
    output_bias: bool | str = False
    mlp_bias: bool | str = False
    biased: tuple[str, ...] = ()
    query_key_norm: Literal["no", "head", "whole"] = "no"
    norms: int = 2
    fused_qkv: bool = False
    fused_gate_up: bool = False
    tied: bool = False
    experts_key: str | None = None
    defaults: Mapping[str, int] = field(default_factory=dict)
    """What transformers takes where config.json is silent, for the families whose published files are."""


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
_QWEN3 = Family(qkv_bias="attention_bias", output_bias="attention_bias", query_key_norm="head")
_LLAMA = Family(qkv_bias="attention_bias", output_bias="attention_bias", mlp_bias="mlp_bias")
_OLMO2 = Family(qkv_bias="attention_bias", output_bias="attention_bias", query_key_norm="whole")

FAMILIES: Mapping[str, Family] = {
    "llama": _LLAMA,
    "mistral": Family(),
    "ministral3": Family(),
    "mixtral": Family(experts_key="num_local_experts"),
    "qwen2": Family(qkv_bias=True),
    "qwen3": _QWEN3,
    "qwen3_moe": Family(
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        query_key_norm="head",
        experts_key="num_experts",
    ),
    "gemma": Family(qkv_bias="attention_bias", output_bias="attention_bias", tied=True),
    "gemma2": Family(qkv_bias="attention_bias", output_bias="attention_bias", norms=4, tied=True),
    "gemma3_text": Family(
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        query_key_norm="head",
        norms=4,
        tied=True,
        defaults=_GEMMA3,
    ),
    "phi3": Family(fused_qkv=True, fused_gate_up=True),
    "smollm3": Family(qkv_bias="attention_bias", output_bias="attention_bias", mlp_bias="mlp_bias", tied=True),
    "olmo2": _OLMO2,
    "olmo3": _OLMO2,
    "granite": _LLAMA,
    "glm": Family(qkv_bias="attention_bias", biased=("attention_bias",), fused_gate_up=True),
    "glm4": Family(qkv_bias="attention_bias", biased=("attention_bias",), fused_gate_up=True, norms=4),
    "hunyuan_v1_dense": _QWEN3,
    "seed_oss": Family(
        qkv_bias="attention_bias", output_bias="attention_out_bias", mlp_bias="mlp_bias", biased=("attention_bias",)
    ),
    "exaone4": Family(query_key_norm="head"),
}

SAME_DECODER = {
    "gemma3": "gemma3_text",
    "qwen2_vl": "qwen2",
    "qwen2_vl_text": "qwen2",
    "qwen2_5_vl": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen3_vl": "qwen3",
    "qwen3_vl_text": "qwen3",
    "pixtral": "mistral",
}
"""Model types whose language model is another family's, tensor for tensor."""


def family_of(configuration: Configuration) -> Family | None:
    name = configuration.text_type
    return FAMILIES.get(SAME_DECODER.get(name, name))


@dataclass(frozen=True)
class Sizes:
    """A decoder's dimensions, all known."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int


def sizes_of(configuration: Configuration, family: Family | None) -> Sizes | None:
    """None where config.json leaves one of them open and the family's default is not known. Raises Refusal."""
    defaults = family.defaults if family else {}

    def number(key: str, default: int | None = None) -> int | None:
        return configuration.number(key, defaults.get(key, default))

    heads = number("num_attention_heads")
    hidden = number("hidden_size")
    found = (
        number("num_hidden_layers"),
        hidden,
        number("intermediate_size"),
        heads,
        number("num_key_value_heads", heads),
        number("head_dim", hidden // heads if hidden and heads else None),
        number("vocab_size"),
    )
    return None if None in found else Sizes(*(value for value in found if value is not None))


def decoder_weights(configuration: Configuration) -> tuple[Weight, ...] | None:
    """Every parameter of the language model with its head, exactly; None for a family without a formula."""
    family = family_of(configuration)
    sizes = sizes_of(configuration, family)
    if family is None or sizes is None or _irregular(configuration):
        return None
    tied = configuration.tied if configuration.tied is not None else family.tied
    return (
        Weight("model.embed_tokens.weight", (sizes.vocabulary, sizes.hidden)),
        *_attention(configuration, family, sizes),
        *_feed_forward(configuration, family, sizes),
        Weight("model.layers.{}.norm.weight", (sizes.hidden,), family.norms * sizes.layers),
        Weight("model.norm.weight", (sizes.hidden,)),
        *(() if tied else (Weight("lm_head.weight", (sizes.vocabulary, sizes.hidden)),)),
    )


def _irregular(configuration: Configuration) -> bool:
    """Layers that differ among themselves have no closed formula here."""
    text = configuration.text
    return bool(text.get("mlp_only_layers")) or text.get("decoder_sparse_step", 1) != 1


def _attention(configuration: Configuration, family: Family, sizes: Sizes) -> Iterator[Weight]:
    queries, keys = sizes.heads * sizes.head, sizes.kv_heads * sizes.head
    bias = _says(configuration, family, family.qkv_bias)
    if family.fused_qkv:
        yield from _linear("self_attn.qkv_proj", sizes.hidden, queries + 2 * keys, bias, sizes.layers)
    else:
        yield from _linear("self_attn.q_proj", sizes.hidden, queries, bias, sizes.layers)
        yield from _linear("self_attn.k_proj", sizes.hidden, keys, bias, sizes.layers)
        yield from _linear("self_attn.v_proj", sizes.hidden, keys, bias, sizes.layers)
    yield from _linear(
        "self_attn.o_proj", queries, sizes.hidden, _says(configuration, family, family.output_bias), sizes.layers
    )
    if family.query_key_norm != "no":
        whole = family.query_key_norm == "whole"
        yield Weight("model.layers.{}.self_attn.q_norm.weight", (queries if whole else sizes.head,), sizes.layers)
        yield Weight("model.layers.{}.self_attn.k_norm.weight", (keys if whole else sizes.head,), sizes.layers)


def _feed_forward(configuration: Configuration, family: Family, sizes: Sizes) -> Iterator[Weight]:
    if family.experts_key is not None:
        yield from _experts(configuration, family.experts_key, sizes)
        return
    bias = _says(configuration, family, family.mlp_bias)
    if family.fused_gate_up:
        yield from _linear("mlp.gate_up_proj", sizes.hidden, 2 * sizes.intermediate, bias, sizes.layers)
    else:
        yield from _linear("mlp.gate_proj", sizes.hidden, sizes.intermediate, bias, sizes.layers)
        yield from _linear("mlp.up_proj", sizes.hidden, sizes.intermediate, bias, sizes.layers)
    yield from _linear("mlp.down_proj", sizes.intermediate, sizes.hidden, bias, sizes.layers)


def _experts(configuration: Configuration, key: str, sizes: Sizes) -> Iterator[Weight]:
    """Experts are stacked in one three-dimensional parameter: no nn.Linear, no adapter, no bitsandbytes."""
    experts = configuration.number(key) or 0
    width = configuration.number("moe_intermediate_size", sizes.intermediate) or 0
    yield Weight("model.layers.{}.mlp.gate.weight", (experts, sizes.hidden), sizes.layers)
    yield Weight("model.layers.{}.mlp.experts.gate_up_proj", (experts, 2 * width, sizes.hidden), sizes.layers)
    yield Weight("model.layers.{}.mlp.experts.down_proj", (experts, sizes.hidden, width), sizes.layers)


def _linear(name: str, inputs: int, outputs: int, bias: bool, count: int) -> Iterator[Weight]:
    yield Weight(f"model.layers.{{}}.{name}.weight", (outputs, inputs), count, linear=True)
    if bias:
        yield Weight(f"model.layers.{{}}.{name}.bias", (outputs,), count)


def _says(configuration: Configuration, family: Family, bias: bool | str) -> bool:
    return configuration.flag(bias, bias in family.biased) if isinstance(bias, str) else bias
