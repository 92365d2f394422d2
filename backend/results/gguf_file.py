"""A merged model of the Llama or Qwen family written as GGUF, tensor by tensor, in f16 or q8_0.

Names come from the gguf package's own tables. Norms and biases stay in 32 bits, as llama.cpp wants them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetty.backend.conversation import Encoder
from finetty.backend.models.weights import Tensor, read_checkpoint, weight_files
from finetty.backend.results.gguf_vocabulary import Vocabulary, read_vocabulary

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""llama.cpp's name for a model_type."""
INTERLEAVED = ("llama",)
"""Architectures whose queries and keys llama.cpp rotates in neighbouring pairs, not in halves."""
FILE_TYPES = {"f16": 1, "q8_0": 7}
BLOCK = 32
"""Weights in a block of q8_0."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Described:
    """A merged folder as GGUF's writer needs it."""

    folder: Path
    config: dict[str, Any]
    architecture: str
    vocabulary: Vocabulary

    @property
    def heads(self) -> tuple[int, int]:
        """Of queries, and of keys."""
        heads = int(self.config["num_attention_heads"])
        return heads, int(self.config.get("num_key_value_heads") or heads)

    @property
    def head_size(self) -> int:
        return int(self.config.get("head_dim") or self.config["hidden_size"] // self.heads[0])

    @property
    def rope(self) -> dict[str, Any]:
        """The rotation's parameters, under either of the keys that configurations have them."""
        found = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        return {"rope_theta": self.config.get("rope_theta", 10000.0), **found}

    @property
    def rope_kind(self) -> str:
        return str(self.rope.get("rope_type") or self.rope.get("type") or "default")


def described(folder: Path) -> Described | None:
    """None for a model that this writer does not know whole: its family, its rotation or its tokenizer."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architecture = ARCHITECTURES.get(config.get("model_type", ""))
    if architecture is None or not (folder / "tokenizer.json").is_file():
        return None
    vocabulary = read_vocabulary(folder, int(config["vocab_size"]))
    if vocabulary is None:
        return None
    model = Described(folder, config, architecture, vocabulary)
    return model if model.rope_kind in ("default", "llama3") else None


def write_gguf(model: Described, path: Path, *, kind: str, encoder: Encoder, name: str) -> None:
    """Write `path`; one tensor is in memory. Raises OSError, ValueError for a tensor that has no name in GGUF."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, model.architecture)
    try:
        _describe(writer, model, encoder, name, FILE_TYPES[kind])
        tensors = named_tensors(model)
        for gguf_name, tensor in tensors:
            stored = stored_kind(tensor, kind)
            shape = _byte_shape(tensor.shape, stored)
            writer.add_tensor_info(gguf_name, shape, _numpy_type(stored), _bytes(shape, stored), _gguf_type(stored))
        if model.rope_kind == "llama3":
            factors = rope_factors(model)
            writer.add_tensor_info("rope_freqs.weight", factors.shape, np.dtype(np.float32), factors.nbytes)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for gguf_name, tensor, values in read_tensors(model, tensors):
            writer.write_tensor_data(encoded(arranged(model, gguf_name, values), stored_kind(tensor, kind)))
        if model.rope_kind == "llama3":
            writer.write_tensor_data(rope_factors(model))
    finally:
        writer.close()


def named_tensors(model: Described) -> list[tuple[str, Tensor]]:
    """The tensors of the weight files with their names in GGUF; a tied head is not written twice."""
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map

    architecture = next(one for one in MODEL_ARCH if MODEL_ARCH_NAMES[one] == model.architecture)
    names = get_tensor_name_map(architecture, int(model.config["num_hidden_layers"]))
    checkpoint = read_checkpoint(model.folder)
    assert checkpoint is not None, "a merged folder has weights"
    found = []
    for tensor in checkpoint.tensors:
        if tensor.name == "lm_head.weight" and model.config.get("tie_word_embeddings"):
            continue
        if tensor.name.endswith("rotary_emb.inv_freq"):
            continue
        name = names.get_name(tensor.name, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ValueError(f"GGUF has no name for {tensor.name}")
        found.append((name, tensor))
    return found


def read_tensors(model: Described, tensors: list[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor, Array]]:
    """Each with its values in fp32, one at a time."""
    from safetensors import safe_open

    with ExitStack() as open_files:
        places: dict[str, Any] = {}
        for path in weight_files(model.folder):
            file = open_files.enter_context(safe_open(path, framework="pt"))
            places |= dict.fromkeys(file.keys(), file)
        for name, tensor in tensors:
            yield name, tensor, places[tensor.name].get_tensor(tensor.name).float().numpy()


def arranged(model: Described, name: str, values: Array) -> Array:
    """Rows of queries and keys in the order of llama.cpp's rotation; everything else as it is."""
    heads = {"attn_q": model.heads[0], "attn_k": model.heads[1]}.get(name.split(".")[-2])
    if heads is None or model.architecture not in INTERLEAVED:
        return values
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def encoded(values: Array, stored: str) -> Array:
    """The values in the format in which the file holds them. Raises ValueError for what 16 bits cannot hold."""
    from gguf import GGMLQuantizationType, quantize

    if stored == "q8_0":
        return np.asarray(quantize(np.ascontiguousarray(values), GGMLQuantizationType.Q8_0))
    with np.errstate(over="ignore"):
        converted = values.astype(np.float16 if stored == "f16" else np.float32)
    if not np.isfinite(converted).all():
        raise ValueError("a weight is larger than 16 bits can hold")
    return np.ascontiguousarray(converted)


def stored_kind(tensor: Tensor, kind: str) -> str:
    if len(tensor.shape) == 1:
        return "f32"
    return "f16" if tensor.shape[-1] % BLOCK else kind


def rope_factors(model: Described) -> NDArray[np.float32]:
    """Llama 3's slower rotation at long waves, as the divisor of each frequency [head size / 2].

    From the reference in transformers' modeling_rope_utils.py, `_compute_llama3_parameters`.
    """
    rope = model.rope
    size, base, factor = model.head_size, float(rope["rope_theta"]), float(rope["factor"])
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    context = float(rope["original_max_position_embeddings"])
    waves = 2 * math.pi * base ** (np.arange(0, size, 2, dtype=np.float64) / size)
    smooth = (context / waves - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    return np.where(waves < context / high, 1.0, np.where(waves > context / low, factor, between)).astype(np.float32)


def _describe(writer: Any, model: Described, encoder: Encoder, name: str, file_type: int) -> None:
    config, vocabulary = model.config, model.vocabulary
    writer.add_name(name)
    writer.add_file_type(file_type)
    writer.add_quantization_version(2)
    writer.add_vocab_size(int(config["vocab_size"]))
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(model.heads[0])
    writer.add_head_count_kv(model.heads[1])
    writer.add_key_length(model.head_size)
    writer.add_value_length(model.head_size)
    writer.add_rope_dimension_count(model.head_size)
    writer.add_rope_freq_base(float(model.rope["rope_theta"]))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.cutting)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    begin = encoder.tokenizer.token_to_id(encoder.special.get("bos_token", ""))
    if begin is not None:
        writer.add_bos_token_id(begin)
    writer.add_add_bos_token(begin is not None and encoder.tokenizer.encode("").ids[:1] == [begin])
    if encoder.stop_ids:
        writer.add_eos_token_id(encoder.stop_ids[0])
    writer.add_pad_token_id(encoder.pad_id)
    writer.add_chat_template(encoder.chat_template)


def _gguf_type(stored: str) -> Any:
    from gguf import GGMLQuantizationType

    return {"f32": GGMLQuantizationType.F32, "f16": GGMLQuantizationType.F16, "q8_0": GGMLQuantizationType.Q8_0}[stored]


def _numpy_type(stored: str) -> Any:
    return np.dtype({"f32": np.float32, "f16": np.float16, "q8_0": np.uint8}[stored])


def _byte_shape(shape: tuple[int, ...], stored: str) -> tuple[int, ...]:
    from gguf import quant_shape_to_byte_shape

    return tuple(quant_shape_to_byte_shape(shape, _gguf_type(stored))) if stored == "q8_0" else shape


def _bytes(shape: tuple[int, ...], stored: str) -> int:
    return math.prod(shape) * int(_numpy_type(stored).itemsize)
