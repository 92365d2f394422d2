"""A tokenizer as GGUF holds it, written from tokenizer.json and read back for the proof.

llama.cpp knows the way a text is first cut up only by name (llama-vocab.cpp), so only the ways listed here can be said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""GGUF's token types."""

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {"llama-bpe": _WORDS + r"\p{N}{1,3}" + _REST, "qwen2": _WORDS + r"\p{N}" + _REST}
"""How a text is cut before merging, by llama.cpp's name for it: Llama 3's way and Qwen 2's."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens with their types, by id; merges; the name of the cutting."""

    tokens: list[str]
    types: list[int]
    merges: list[str]
    cutting: str


CUTTINGS = (*PATTERNS, "gpt-2", "smollm")


def read_vocabulary(folder: Path, size: int) -> Vocabulary | None:
    """The tokenizer.json of a model with `size` embeddings; None where llama.cpp's name for it is not known here."""
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    model, cutting = content["model"], _cutting(content)
    if model.get("type") != "BPE" or model.get("byte_fallback") or cutting is None:
        return None
    if bool(model.get("ignore_merges")) != (cutting == "llama-bpe"):
        return None
    tokens = {number: token for token, number in model["vocab"].items()}
    types = dict.fromkeys(tokens, NORMAL)
    for added in content.get("added_tokens", ()):
        tokens[added["id"]] = added["content"]
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    if max(tokens) >= size:
        return None
    merges = [one if isinstance(one, str) else " ".join(one) for one in model["merges"]]
    return Vocabulary(
        [tokens.get(number, f"[PAD{number}]") for number in range(size)],
        [types.get(number, UNUSED) for number in range(size)],
        merges,
        cutting,
    )


def _cutting(content: Mapping[str, Any]) -> str | None:
    steps = content.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    kinds = [step.get("type") for step in steps]
    normalizer = (content.get("normalizer") or {}).get("type")
    if not steps or kinds[-1] != "ByteLevel" or steps[-1].get("add_prefix_space"):
        return None
    by_regex = steps[-1].get("use_regex", True)
    if by_regex and normalizer is None:
        if kinds == ["ByteLevel"]:
            return "gpt-2"
        return "smollm" if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] else None
    if by_regex or kinds != ["Split", "ByteLevel"]:
        return None
    pattern = steps[0]["pattern"].get("Regex")
    name = next((one for one, known in PATTERNS.items() if known == pattern), None)
    return name if normalizer == {"qwen2": "NFC"}.get(name or "") else None


def rebuilt(fields: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that a GGUF's fields describe, as llama.cpp would work with them."""
    tokens, types = list(fields["tokenizer.ggml.tokens"]), list(fields["tokenizer.ggml.token_type"])
    cutting = fields["tokenizer.ggml.pre"]
    merges = [(first, second) for first, _, second in (one.partition(" ") for one in fields["tokenizer.ggml.merges"])]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=cutting == "llama-bpe"))
    if cutting in PATTERNS:
        split = pre_tokenizers.Split(Regex(PATTERNS[cutting]), "isolated")
        first = [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    else:
        digits = [pre_tokenizers.Digits(individual_digits=True)] if cutting == "smollm" else []
        first = [*digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(first)
    if cutting == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    controls = [one for one, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in controls])
    others = [one for one, kind in zip(tokens, types, strict=True) if kind == USER_DEFINED]
    tokenizer.add_tokens([AddedToken(one, normalized=False) for one in others])
    return tokenizer
