"""From a checkpoint's tensor names to the language model's weights: towers, buffers and spare layers left out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from finetty.backend.models.families import Weight
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
BUFFERS = ("inv_freq", "masked_bias", "position_ids", "attn.bias", "attention.bias", "input_scale", "weight_scale")
ROUTERS = {"gate", "router", "shared_expert_gate"}
EMBEDDINGS = {"embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings"}
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
    scalar_bias = tensor.name.endswith(("attn.bias", "attention.bias")) and len(tensor.shape) < 3
    named = tensor.name.endswith((*BUFFERS, "scale_inv")) and not scalar_bias
    return named or tensor.dtype in {"I64", "I32", "BOOL"}


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
    """Tensors gathered by name, with the layer's number taken out; matrices of nn.Linear marked."""
    counts: dict[tuple[str, tuple[int, ...]], int] = {}
    for tensor in tensors:
        key = (_NUMBER.sub("{}", tensor.name), tensor.shape)
        counts[key] = counts.get(key, 0) + 1
    return tuple(
        Weight(
            name,
            shape[::-1] if _linear(name, shape) and model_type in TRANSPOSED else shape,
            count,
            _linear(name, shape),
        )
        for (name, shape), count in counts.items()
    )


def _linear(name: str, shape: tuple[int, ...]) -> bool:
    parts = name.split(".")
    if len(shape) != 2 or parts[-1] != "weight" or len(parts) < 2:
        return False
    return (
        parts[-2] not in ROUTERS | EMBEDDINGS | OTHER_EMBEDDINGS | HEADS
        and "experts" not in parts
        and "norm" not in parts[-2]
    )


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
    return sum(weight.count * math.prod(weight.shape) for weight in weights)
