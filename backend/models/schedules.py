"""Which of a decoder's layers have a block, and the sizes that a family makes of several numbers in config.json."""

from __future__ import annotations

from finetty.backend.models.blocks import Test
from finetty.backend.models.dimensions import Dimensions, Rule, Size, Unknown

NEMOTRON_LETTERS = {"M": "linear_attention", "E": "moe", "*": "full_attention", "-": "mlp"}
OLDER_NAMES = {"mamba": "linear_attention", "attention": "full_attention"}


def listed(key: str, *kinds: str) -> Test:
    """The layers that a list in config.json calls so. Without the list nothing is known."""

    def test(d: Dimensions, layer: int) -> bool:
        each = d.each(key)
        if each is None:
            raise Unknown(key)
        return each[layer] in kinds

    return test


def switched(rule: Rule, wanted: bool = True) -> Test:
    """All layers, where config.json says so."""
    return lambda d, layer: d.yes(rule) == wanted


attends = listed("layer_types", "full_attention", "attention")
is_sparse = listed("mlp_layer_types", "sparse")


def attends_at_intervals(d: Dimensions, layer: int) -> bool:
    """Qwen3-Next and Qwen3.5: listed, or one layer in every `full_attention_interval`."""
    if d.written("layer_types") is not None:
        return attends(d, layer)
    return (layer + 1) % d["full_attention_interval"] == 0


def attends_by_index(d: Dimensions, layer: int) -> bool:
    """LFM2: listed by kind, or by number."""
    if d.written("layer_types") is not None:
        return attends(d, layer)
    numbers = d.numbered("full_attn_idxs")
    if numbers is None:
        raise Unknown("full_attn_idxs")
    return layer in numbers


def attends_globally(d: Dimensions, layer: int) -> bool:
    """Gemma 4: listed, or one layer in six, and always the last."""
    each = d.each("layer_types")
    return layer == d.layers - 1 or (each[layer] == "full_attention" if each else (layer + 1) % 6 == 0)


def attends_periodically(d: Dimensions, layer: int) -> bool:
    return layer % d["attn_layer_period"] == d.count("attn_layer_offset")


def expert_periodically(d: Dimensions, layer: int) -> bool:
    return layer % d["expert_layer_period"] == d.count("expert_layer_offset") and d["num_experts"] > 1


def shares_keys(d: Dimensions, layer: int) -> bool:
    """The last layers take keys and values from earlier ones (Gemma 3n, Gemma 4)."""
    first = d.layers - (d.get("num_kv_shared_layers") or 0)
    return layer >= first > 0


def sparse_step(d: Dimensions, layer: int) -> bool:
    """Qwen's mixtures: all layers but the listed ones, or every few."""
    dense = d.numbered("mlp_only_layers") or []
    return d["num_experts"] > 0 and layer not in dense and (layer + 1) % (d.get("decoder_sparse_step") or 1) == 0


def after_dense(d: Dimensions, layer: int) -> bool:
    """The first layers are dense; a list of kinds, where there is one, says so for each."""
    if d.written("mlp_layer_types") is not None:
        return is_sparse(d, layer)
    return layer >= d.count("first_k_dense_replace")


def after_first(d: Dimensions, layer: int) -> bool:
    """Only the first layer is dense, unless a list says so for each."""
    return is_sparse(d, layer) if d.written("mlp_layer_types") is not None else layer > 0


def after_dense_layers(d: Dimensions, layer: int) -> bool:
    """LFM2's mixtures."""
    return layer >= d.count("num_dense_layers")


def between(d: Dimensions, layer: int) -> bool:
    """ERNIE's mixtures: every few layers from one to another."""
    last = d.layers - 1 if d.written("moe_layer_end_index") == -1 else d.count("moe_layer_end_index")
    return d.count("moe_layer_start_index") <= layer <= last and (layer + 1) % d["moe_layer_interval"] == 0


def every_step(d: Dimensions, layer: int) -> bool:
    """Llama 4: listed by number, or every `interleave_moe_layer_step`."""
    numbers = d.numbered("moe_layers")
    if numbers is not None:
        return layer in numbers
    return (layer + 1) % d["interleave_moe_layer_step"] == 0


def crosses(d: Dimensions, layer: int) -> bool:
    """Llama 3.2 Vision's layers that attend to the picture."""
    numbers = d.numbered("cross_attention_layers")
    if numbers is None:
        raise Unknown("cross_attention_layers")
    return layer in numbers


def full_indexer(d: Dimensions, layer: int) -> bool:
    """GLM-5: every layer has an indexer unless config.json shares them."""
    each = d.each("indexer_types")
    if each is not None:
        return bool(each[layer] == "full")
    if d.written("index_topk_pattern") is not None or d.written("index_topk_freq") not in (None, 1):
        raise Unknown("indexer_types")
    return True


def above_zero(key: str) -> Test:
    """All layers, where a number is written and is not 0."""
    return lambda d, layer: d.count(key) > 0


def written(key: str) -> Test:
    """All layers, where config.json gives a number that may be left out."""
    return lambda d, layer: bool(d.get(key))


def block_type(kind: str) -> Test:
    """Nemotron-H's layers, each of one block."""
    return lambda d, layer: _block_types(d)[layer] == kind


def _block_types(d: Dimensions) -> list[str]:
    pattern = d.written("hybrid_override_pattern")
    each = d.each("layers_block_type") or (list(pattern) if isinstance(pattern, str) else [])
    kinds = [OLDER_NAMES.get(kind, NEMOTRON_LETTERS.get(kind, kind)) for kind in each if isinstance(kind, str)]
    if len(kinds) != d.layers or not set(kinds) <= set(NEMOTRON_LETTERS.values()):
        raise Unknown("layers_block_type")
    return kinds


# Sizes.


def all_heads(d: Dimensions, layer: int) -> int:
    return d.heads


def attention_width(d: Dimensions, layer: int) -> int:
    return d.heads * d.head


def four_times(d: Dimensions, layer: int) -> int:
    """The usual width of a feed-forward network whose config.json leaves it open."""
    return d.get("intermediate_size") or 4 * d.hidden


def product(*sizes: Size) -> Size:
    def size(d: Dimensions, layer: int) -> int:
        result = 1
        for one in sizes:
            result *= d.size(one, layer)
        return result

    return size


def more(size: Size, by: int) -> Size:
    return lambda d, layer: d.size(size, layer) + by


def falcon_keys(d: Dimensions, layer: int) -> int:
    if d.told("new_decoder_architecture"):
        return d.get("num_key_value_heads") or d.heads
    return 1 if d.yes("multi_query") else d.heads


def falcon_norms(d: Dimensions, layer: int) -> int:
    if not d.yes("parallel_attn"):
        return 2
    norms = d.get("num_ln_in_parallel_attn") or (2 if d.told("new_decoder_architecture") else 1)
    return 2 if norms == 2 else 1


def one_if(rule: str) -> Size:
    return lambda d, layer: int(d.yes(rule))


def two_or_one(parallel: str) -> Size:
    """Attention and feed-forward side by side have one norm."""
    return lambda d, layer: 1 if d.yes(parallel) else 2


def bigcode_keys(d: Dimensions, layer: int) -> int:
    return 1 if d.yes("multi_query") else d.heads


def wide_where_shared(d: Dimensions, layer: int) -> int:
    """Gemma 4's layers without keys of their own may have a feed-forward network twice as wide."""
    return d["intermediate_size"] * (2 if d.yes("use_double_wide_mlp") and shares_keys(d, layer) else 1)


def global_head(d: Dimensions, layer: int) -> int:
    return d.of_layer("head_dim", layer) or d["global_head_dim"]


def global_keys(d: Dimensions, layer: int) -> int:
    """Gemma 4's layers over the whole text may have fewer key-value heads, if keys serve as values."""
    fewer = d.get("num_global_key_value_heads") if d.yes("attention_k_eq_v") else None
    return d.of_layer("num_key_value_heads", layer) or fewer or d["num_key_value_heads"]


def width_of_layer(d: Dimensions, layer: int) -> int:
    """Gemma 3n: one width, or one for each layer."""
    if not isinstance(d.written("intermediate_size"), list):
        return d["intermediate_size"]
    width = (d.each("intermediate_size") or [])[layer]
    if isinstance(width, bool) or not isinstance(width, int) or width <= 0:
        raise Unknown("intermediate_size")
    return width


def adjusted_width(d: Dimensions, layer: int) -> int:
    """LFM2: two thirds of what is written, rounded up to a multiple."""
    width = d.get("block_ff_dim") or d["intermediate_size"]
    if not d.yes("block_auto_adjust_ff_dim"):
        return width
    factor = d.written("block_ffn_dim_multiplier")
    if not isinstance(factor, (int, float)) or not 0 < factor < 100:
        raise Unknown("block_ffn_dim_multiplier")
    width, multiple = int(factor * int(2 * width / 3)), d["block_multiple_of"]
    return multiple * -(-width // multiple)


def state_width(d: Dimensions, layer: int) -> int:
    """Falcon-H1: written, or as Granite's."""
    return d.get("mamba_d_ssm") or d["mamba_expand"] * d.hidden


def embedding_width(d: Dimensions, layer: int) -> int:
    """OPT-350m's embeddings are narrower than its hidden state."""
    return d.get("word_embed_proj_dim") or d.hidden


def narrow_embedding(d: Dimensions, layer: int) -> bool:
    return embedding_width(d, layer) != d.hidden


def latent_width(d: Dimensions, layer: int) -> int:
    return d.get("moe_latent_size") or d.hidden
