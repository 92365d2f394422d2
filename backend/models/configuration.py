"""A model's config.json, read as untrusted text: numbers that cannot be are refused, missing ones are None."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetty.backend.messages import Refusal, message

UNREADABLE = message("models.unreadable", "{file} cannot be read: {reason}.")
NOT_AN_OBJECT = message("models.not_an_object", "{file} does not hold a JSON object.")
IMPOSSIBLE_NUMBER = message("models.impossible_number", "{file} says that {key} is {value}, which no model has.")
GET_IT_AGAIN = message("models.get_it_again", "Download the model again from where it came.")

LARGEST_JSON = 64 << 20
"""Bytes; tokenizer_config.json with many added tokens is the largest of these files, at a few MB."""

LIMITS = {
    "num_hidden_layers": 2_000,
    "hidden_size": 1_000_000,
    "intermediate_size": 10_000_000,
    "num_attention_heads": 10_000,
    "num_key_value_heads": 10_000,
    "head_dim": 100_000,
    "vocab_size": 50_000_000,
    "max_position_embeddings": 1_000_000_000,
}
"""Larger than any model by two orders of magnitude; a number beyond is damage or a trap."""

OTHER_NAMES = {
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "hidden_size": ("n_embd", "n_embed", "d_model"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
    "num_key_value_heads": ("num_kv_heads",),
    "num_experts": ("num_local_experts",),
    "num_local_experts": ("num_experts",),
    "n_routed_experts": ("num_local_experts", "num_experts"),
    "max_position_embeddings": ("n_positions", "n_ctx", "seq_length", "max_seq_len"),
}
"""What GPT-2, Falcon, BLOOM, MPT and OPT, and the mixtures' configurations of other ages, call the same numbers."""

TEXT_SECTIONS = ("text_config", "llm_config", "language_config", "thinker_config")
TOWER_SECTIONS = ("vision_config", "audio_config", "video_config", "visual", "vision_tower_config", "encoder_config")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises Refusal when it is damaged, too large or not an object."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError("it is larger than any such file")
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise Refusal(UNREADABLE(file=path.name, reason=_why(error)), GET_IT_AGAIN(), path=path) from None
    if not isinstance(found, dict):
        raise Refusal(NOT_AN_OBJECT(file=path.name), GET_IT_AGAIN(), path=path)
    return found


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"broken at line {error.lineno}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, RecursionError):
        return "it is nested without end"
    return getattr(error, "strerror", None) or str(error)


@dataclass(frozen=True)
class Configuration:
    """config.json and, inside it, the part that describes the language model."""

    path: Path
    whole: Mapping[str, Any]
    text: Mapping[str, Any]
    beside: Mapping[str, Any] = field(default_factory=dict)
    """What a file of its own says of the quantization, where config.json does not."""

    @property
    def model_type(self) -> str:
        return _word(self.whole.get("model_type"))

    @property
    def text_type(self) -> str:
        return _word(self.text.get("model_type")) or self.model_type

    @property
    def architecture(self) -> str:
        named = self.whole.get("architectures")
        return _word(named[0]) if isinstance(named, list) and named else ""

    @property
    def nested(self) -> bool:
        """Whether the language model is a part: then what equals its family's defaults is often left out."""
        return self.text is not self.whole

    @property
    def has_towers(self) -> bool:
        thinker = self.whole.get("thinker_config")
        places = (self.whole, thinker if isinstance(thinker, dict) else {})
        return any(isinstance(place.get(section), dict) for place in places for section in TOWER_SECTIONS)

    def number(self, key: str, default: int | None = None) -> int | None:
        """A positive whole number of the language model, or `default` where it is not written.

        Where each layer has its own, the largest. Raises Refusal for what is written and cannot be: a text, a
        negative or an enormous number.
        """
        for name in (key, *OTHER_NAMES.get(key, ())):
            value = self.text.get(name)
            if value is not None:
                return self._possible(key, name, value)
        return self._listed_layers() or default if key == "num_hidden_layers" else default

    def _possible(self, key: str, name: str, value: Any) -> int:
        values: list[Any] = value if isinstance(value, list) and value else [value]
        for one in values:
            if isinstance(one, bool) or not isinstance(one, int) or not 0 < one <= LIMITS.get(key, 10**12):
                raise Refusal(
                    IMPOSSIBLE_NUMBER(file=self.path.name, key=name, value=_short(one)), GET_IT_AGAIN(), path=self.path
                )
        return int(max(values))

    def _listed_layers(self) -> int:
        """Nemotron-H names its layers one by one and need not count them."""
        named = self.text.get("layers_block_type") or self.text.get("hybrid_override_pattern")
        return len(named) if isinstance(named, (list, str)) and len(named) <= LIMITS["num_hidden_layers"] else 0

    def flag(self, key: str, default: bool) -> bool:
        value = self.text.get(key)
        return value if isinstance(value, bool) else default

    @property
    def tied(self) -> bool | None:
        """Whether input and output embeddings are one; None where config.json leaves it to the family's default."""
        thinker = self.whole.get("thinker_config")
        for section in (self.whole, thinker if isinstance(thinker, dict) else {}, self.text):
            if isinstance(section.get("tie_word_embeddings"), bool):
                return bool(section["tie_word_embeddings"])
        return None

    @property
    def quantization(self) -> str | None:
        """gptq, awq, fp8, nvfp4, mxfp4, bitsandbytes, …; None for an unquantized checkpoint."""
        section = self.whole.get("quantization_config") or self.text.get("quantization_config") or self.beside
        if not isinstance(section, dict) or not section:
            return None
        method, algorithm = _word(section.get("quant_method")), _word(section.get("quant_algo")).lower()
        if method in ("", "modelopt") and algorithm:
            return algorithm
        return method or ("bitsandbytes" if "load_in_4bit" in section else "unknown")

    @property
    def dtype(self) -> str | None:
        for section in (self.text, self.whole):
            for key in ("dtype", "torch_dtype"):
                if _word(section.get(key)):
                    return _word(section[key])
        return None


def read_configuration(path: Path) -> Configuration:
    """Raises Refusal."""
    whole = read_json(path)
    text = next((whole[name] for name in TEXT_SECTIONS if isinstance(whole.get(name), dict)), whole)
    if isinstance(text.get("text_config"), dict):
        text = text["text_config"]
    return Configuration(path, whole, text, _quantization_beside(path.parent))


def _quantization_beside(folder: Path) -> Mapping[str, Any]:
    """ModelOpt's and AutoGPTQ's own files."""
    if (folder / "hf_quant_config.json").is_file():
        section = read_json(folder / "hf_quant_config.json").get("quantization")
        return section if isinstance(section, dict) else {}
    if (folder / "quantize_config.json").is_file():
        return {"quant_method": "gptq", **read_json(folder / "quantize_config.json")}
    return {}


def _word(value: Any) -> str:
    return value if isinstance(value, str) and len(value) < 200 else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
