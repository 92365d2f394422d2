"""From a checkpoint's tensor names to the language model's weights: towers, buffers and spare layers left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from finetty.backend.models.blocks import Kind, Weight
from finetty.backend.models.weights import Tensor

LANGUAGE_MODEL = {"language_model", "text_model", "llm"}
TOWERS = {
    "aligner",
    "audio_tower",
    "connector",
    "embed_audio",
    "embed_vision",
    "image_newline",
    "mm_projector",
    "multi_modal_projector",
    "multimodal_projector",
    "talker",
    "vision_encoder",
    "vision_model",
    "vision_projector",
    "vision_tower",
    "visual",
}
"""Path components of vision and audio towers and of what joins them to the language model."""
BUFFERS = (
    *("inv_freq", "masked_bias", "position_ids", "layer_scalar", "expert_bias", "act_fn.beta", "act_fn.eps"),
    *("slope_rate", "query_decay", "key_decay", "diagonal_decay"),
    *("input_scale", "weight_scale", "weight_scale_2", "global_scale", "k_scale", "v_scale", "scale_inv", "zero_point"),
)
"""Endings of what files hold and training does not move: tables, masks, a quantized format's scales."""
ROUTERS = {"gate", "router", "shared_expert_gate"}
EMBEDDINGS = {"embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings", "embeddings"}
OTHER_EMBEDDINGS = {"wpe", "embed_positions", "position_embeddings", "embed_tokens_per_layer"}
HEADS = {"lm_head", "embed_out", "output"}
TRANSPOSED = {"gpt2"}
"""Families whose linear layers are Conv1D, stored (inputs, outputs)."""

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")


def parameters_of(tensors: Iterable[Tensor], layers: int | None) -> Iterator[Tensor]:
    """The tensors that become parameters: without buffers, and without layers for multi-token prediction."""
    for tensor in tensors:
        parts = tensor.name.split(".")
        layer = _LAYER.search(tensor.name)
        spare = layers is not None and layer is not None and int(layer[1]) >= layers and not _in_tower(parts)
        if not (spare or "mtp" in parts or _buffer(tensor)):
            yield tensor


def _buffer(tensor: Tensor) -> bool:
    mask = tensor.name.endswith(("attn.bias", "attention.bias")) and len(tensor.shape) > 2
    # ERNIE's correction of its router has two dimensions and is trained; all others' have one and are not.
    correction = tensor.name.endswith("e_score_correction_bias") and len(tensor.shape) == 1
    return mask or correction or tensor.name.endswith(BUFFERS) or tensor.dtype in {"I64", "I32", "BOOL"}


def language_model(tensors: Iterable[Tensor], has_towers: bool) -> list[Tensor]:
    """The text part of a checkpoint; all of it where there are no towers."""
    every = list(tensors)
    if not has_towers:
        return every
    marked = any(LANGUAGE_MODEL & set(tensor.name.split(".")) for tensor in every)
    return [tensor for tensor in every if _is_text(tensor.name.split("."), marked)]


def _is_text(parts: list[str], marked: bool) -> bool:
    if _in_tower(parts):
        return False
    return not marked or bool((LANGUAGE_MODEL | HEADS) & set(parts))


def _in_tower(parts: list[str]) -> bool:
    return bool(TOWERS & set(parts))


def as_weights(tensors: Iterable[Tensor], model_type: str) -> tuple[Weight, ...]:
    """Tensors gathered by name, with the layer's number taken out, each with what it is."""
    counts: dict[tuple[str, tuple[int, ...]], int] = {}
    for tensor in tensors:
        key = (_NUMBER.sub("{}", tensor.name), tensor.shape)
        counts[key] = counts.get(key, 0) + 1
    return tuple(_weight(name, shape, count, model_type in TRANSPOSED) for (name, shape), count in counts.items())


def _weight(name: str, shape: tuple[int, ...], count: int, transposed: bool) -> Weight:
    kind = _kind(name.split("."), len(shape))
    return Weight(name, shape[::-1] if kind == "linear" and transposed else shape, kind, count)


def _kind(parts: list[str], dimensions: int) -> Kind:
    """By the names that transformers' modules and the older checkpoints have."""
    owner = parts[-2] if len(parts) > 1 else ""
    if "experts" in parts:
        return "expert"
    if ROUTERS & set(parts):
        return "router"
    if "norm" in owner or owner.startswith("ln_"):
        return "norm"
    if owner in EMBEDDINGS | OTHER_EMBEDDINGS:
        return "embedding"
    if owner in HEADS:
        return "head"
    return "linear" if dimensions == 2 and parts[-1] == "weight" and owner else "other"


def embedding_weights(weights: Iterable[Weight]) -> tuple[Weight | None, Weight | None]:
    """The input embeddings and the output head; None where the checkpoint does not name one."""
    embedding = head = None
    for weight in weights:
        owner = weight.name.split(".")[-2] if weight.name.count(".") else ""
        if owner in EMBEDDINGS and len(weight.shape) == 2 and embedding is None:
            embedding = weight
        elif owner in HEADS and "{}" not in weight.name and len(weight.shape) == 2:
            head = weight
    return embedding, head


def total(weights: Iterable[Weight]) -> int:
    return sum(weight.elements for weight in weights)
