"""Turn a Llama-family GGUF into a plain transformers folder: `python -P from_gguf.py IN OUT`.

Only numpy, gguf, safetensors and tokenizers are needed. Weights are put back into 32 bits, the only format that holds
dequantized values exactly. Weights and token ids equal those of transformers' own GGUF loader to the bit (tested),
which takes four times as long and gets the end token and the digits rule of the tokenizer wrong.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, dequantize
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

MODULES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
CONTROL_TOKEN = 3
"""GGUF's token type for markers such as <|im_end|>."""


def convert(source: Path, folder: Path) -> None:
    """Write config.json, generation_config.json, model.safetensors and the tokenizer into `folder`.

    Raises ValueError for a GGUF of another architecture or tokenizer.
    """
    file = _File(source)
    if file.value("general.architecture") != "llama" or file.value("tokenizer.ggml.model") != "gpt2":
        raise ValueError("this converter reads Llama models with a byte-level BPE tokenizer")
    folder.mkdir(parents=True)
    _write(folder / "config.json", _config(file))
    _write(folder / "generation_config.json", _ids(file))
    _write(folder / "tokenizer_config.json", _tokenizer_config(file))
    _tokenizer(file).save(str(folder / "tokenizer.json"))
    save_file(_weights(file), folder / "model.safetensors", metadata={"format": "pt"})


class _File:
    """A GGUF's fields by name, and its tensors."""

    def __init__(self, path: Path) -> None:
        self.reader = GGUFReader(path)

    def value(self, name: str, default: Any = None) -> Any:
        field = self.reader.fields.get(name)
        return default if field is None else field.contents()

    def size(self, name: str) -> int:
        return int(self.value(f"llama.{name}"))

    @property
    def tokens(self) -> list[str]:
        return list(self.value("tokenizer.ggml.tokens"))

    @property
    def tied(self) -> bool:
        return all(tensor.name != "output.weight" for tensor in self.reader.tensors)


def _config(file: _File) -> dict[str, Any]:
    heads = file.size("attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": file.size("embedding_length"),
        "intermediate_size": file.size("feed_forward_length"),
        "num_hidden_layers": file.size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": int(file.value("llama.attention.head_count_kv", heads)),
        "head_dim": file.size("embedding_length") // heads,
        "max_position_embeddings": file.size("context_length"),
        "rms_norm_eps": float(np.float64(str(np.float32(file.value("llama.attention.layer_norm_rms_epsilon"))))),
        "rope_theta": float(file.value("llama.rope.freq_base", 10000.0)),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(file.value("llama.rope.freq_base", 10000.0))},
        "vocab_size": len(file.tokens),
        "tie_word_embeddings": file.tied,
        "attention_bias": False,
        "mlp_bias": False,
        "hidden_act": "silu",
        "dtype": "float32",
        **_ids(file),
    }


def _ids(file: _File) -> dict[str, int]:
    """Of GGUF's ids the end token is right; there is no padding token, and the end token serves."""
    end = int(file.value("tokenizer.ggml.eos_token_id"))
    return {
        "bos_token_id": int(file.value("tokenizer.ggml.bos_token_id", end)),
        "eos_token_id": end,
        "pad_token_id": end,
    }


def _tokenizer_config(file: _File) -> dict[str, Any]:
    ids, tokens = _ids(file), file.tokens
    unknown = file.value("tokenizer.ggml.unknown_token_id")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "bos_token": tokens[ids["bos_token_id"]],
        "eos_token": tokens[ids["eos_token_id"]],
        "pad_token": tokens[ids["pad_token_id"]],
        "unk_token": None if unknown is None else tokens[int(unknown)],
        "clean_up_tokenization_spaces": False,
        "model_max_length": file.size("context_length"),
        "chat_template": file.value("tokenizer.chat_template"),
    }
    return {key: value for key, value in config.items() if value is not None}


def _tokenizer(file: _File) -> Tokenizer:
    tokens = file.tokens
    merges = [tuple(merge.split(" ", 1)) for merge in file.value("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: index for index, token in enumerate(tokens)},
            merges=merges,
            fuse_unk=False,
            byte_fallback=False,
        )
    )
    digits = [pre_tokenizers.Digits(individual_digits=True)] if file.value("tokenizer.ggml.pre") == "smollm" else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    types = file.value("tokenizer.ggml.token_type")
    controls = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in controls])
    return tokenizer


def _weights(file: _File) -> dict[str, NDArray[np.float32]]:
    weights = {}
    for tensor in file.reader.tensors:
        values = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        name, values = _named(tensor.name, values, file)
        weights[name] = np.ascontiguousarray(values)
    return weights


def _named(name: str, values: NDArray[np.float32], file: _File) -> tuple[str, NDArray[np.float32]]:
    """transformers' name; rows of queries and keys go back from llama.cpp's interleaved order of rotary halves."""
    if name in OUTSIDE:
        return OUTSIDE[name], values
    _, layer, module, kind = name.split(".")
    if module in ("attn_q", "attn_k"):
        heads = file.size("attention.head_count")
        if module == "attn_k":
            heads = int(file.value("llama.attention.head_count_kv", heads))
        rows, width = values.shape
        values = values.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)
    return f"model.layers.{layer}.{MODULES[module]}.{kind}", values


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
