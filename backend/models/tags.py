"""What the name of a published model says: its tags, its size and its version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from finetty.backend.messages import Declared, message


@dataclass(frozen=True)
class Tag:
    """One tag: the group it belongs to, its meaning for a beginner, and a model that carries it."""

    name: str
    group: Declared
    meaning: Declared
    example: str


TASK = message("tags.group.task", "Function and task")
MULTIMODAL = message("tags.group.multimodal", "Multimodal")
TRAIT = message("tags.group.trait", "Technical traits")
VERSION = message("tags.group.version", "Version")
VARIANT = message("tags.group.variant", "Variant")
FIELD = message("tags.group.field", "Field of use")

TAGS: Mapping[str, Tag] = {
    tag.name: tag
    for tag in (
        Tag(
            "Base",
            TASK,
            message(
                "tags.base",
                "A base model: raw ability, it continues text and has not learned to answer. Choose it with much data,"
                " or when you want to set the manner of answering yourself.",
            ),
            "Qwen3-14B-Base",
        ),
        Tag(
            "Chat",
            TASK,
            message("tags.chat", "Tuned for dialogue: it already holds a conversation."),
            "DeepSeek-LLM-7B-Chat",
        ),
        Tag(
            "Instruct",
            TASK,
            message(
                "tags.instruct",
                "Tuned to follow instructions. With little data this is the best start: it only has to learn what is"
                " yours.",
            ),
            "Qwen3-0.6B-Instruct",
        ),
        Tag(
            "Distill",
            TASK,
            message("tags.distill", "Distilled: a small model that learned from a larger one's answers."),
            "DeepSeek-R1-1.5B-Distill",
        ),
        Tag("Math", TASK, message("tags.math", "Made for mathematical reasoning."), "DeepSeek-Math-7B-Instruct"),
        Tag("Coder", TASK, message("tags.coder", "Made for programming."), "DeepSeek-Coder-V2-16B"),
        Tag(
            "VL",
            MULTIMODAL,
            message("tags.vl", "Vision and language: it reads images too. finetty tunes its text part."),
            "Kimi-VL-A3B-Instruct",
        ),
        Tag("Video", MULTIMODAL, message("tags.video", "It understands video."), "LLaVA-NeXT-Video-7B-Chat"),
        Tag("Audio", MULTIMODAL, message("tags.audio", "It understands speech and sound."), "Qwen2-Audio-7B"),
        Tag(
            "Int8",
            TRAIT,
            message("tags.int8", "Its weights are stored in 8 bits: half of the memory, slightly less precise."),
            "Qwen2-VL-2B-Instruct-GPTQ-Int8",
        ),
        Tag(
            "Int4",
            TRAIT,
            message("tags.int4", "Its weights are stored in 4 bits: a quarter of the memory, a little less precise."),
            "Qwen2.5-7B-Instruct-GPTQ-Int4",
        ),
        Tag(
            "AWQ",
            TRAIT,
            message("tags.awq", "Quantized by AWQ, which protects the weights that matter most to the activations."),
            "Qwen2.5-VL-72B-Instruct-AWQ",
        ),
        Tag(
            "GPTQ",
            TRAIT,
            message("tags.gptq", "Quantized by GPTQ, which corrects each layer's rounding error as it goes."),
            "Qwen2-VL-2B-Instruct-GPTQ-Int8",
        ),
        Tag(
            "MoE",
            TRAIT,
            message(
                "tags.moe",
                "A mixture of experts: only some of its parameters work on each token. Fast for its size, but all of"
                " them must be in memory.",
            ),
            "DeepSeek-MoE-16B-Chat",
        ),
        Tag("RL", TRAIT, message("tags.rl", "Improved by reinforcement learning."), "MiMo-7B-Instruct-RL"),
        Tag(
            "version",
            VERSION,
            message("tags.version", "The publisher's version number: a higher one is a later release."),
            "Mistral-7B-v0.1",
        ),
        Tag(
            "Pure",
            VARIANT,
            message("tags.pure", "A pure variant: trained without instruction data, for comparison."),
            "Index-1.9B-Base",
        ),
        Tag(
            "Character",
            VARIANT,
            message("tags.character", "Made for role-play: it speaks as a character."),
            "Index-1.9B-Character-Chat",
        ),
        Tag(
            "Long-Chat",
            VARIANT,
            message("tags.long_chat", "Made for long context: it reads very long texts."),
            "Orion-14B-Long-Chat",
        ),
        Tag(
            "RAG",
            FIELD,
            message("tags.rag", "Made for retrieval-augmented generation: it answers from documents it is given."),
            "Orion-14B-RAG-Chat",
        ),
        Tag("Chinese", FIELD, message("tags.chinese", "Tuned for Chinese."), "Llama-3-70B-Chinese-Chat"),
        Tag("MT", FIELD, message("tags.mt", "Made for machine translation."), "BLOOMZ-7B1-mt"),
    )
}

_END = r"(?![a-z])"
_START = r"(?<![a-z])"
_OMNI = r"minicpm-o(?![a-z])"
"""OpenBMB's short word for omni: text, images and sound."""
_PATTERNS: Mapping[str, str] = {
    "Base": rf"{_START}(base|pretrain(ed)?|pt){_END}",
    "Chat": rf"chat{_END}",
    "Instruct": rf"{_START}(instruct(ion)?|sft){_END}|(?<![a-z0-9])it(?![a-z0-9])",
    "Distill": r"distill?(ed)?",
    "Math": r"(?<!after)math",
    "Coder": rf"{_START}code|(?<!\ben)(?<!\bde)(?<!autoen)coder{_END}|starcoder|devstral",
    "VL": rf"{_START}(vision|llava|pixtral|paligemma|omni|moondream){_END}|vlm?{_END}|(?<![a-z])v(?![a-z0-9.])|{_OMNI}",
    "Video": r"video",
    "Audio": rf"audio|{_START}(omni|voxtral){_END}|{_OMNI}",
    "Int8": rf"{_START}(int-?8|w8a\d+){_END}|8-?bit",
    "Int4": rf"{_START}(int-?4|w4a\d+){_END}|4-?bit",
    "AWQ": rf"{_START}awq{_END}",
    "GPTQ": rf"{_START}gptq{_END}",
    "MoE": rf"moe{_END}|mixtral|\d+x\d+(\.\d+)?b|{_START}a\d+(\.\d+)?[bm]{_END}|\d+b-\d+e{_END}",
    "RL": rf"{_START}(rl|rlhf|grpo){_END}",
    "Pure": rf"{_START}pure{_END}",
    "Character": rf"{_START}(character|role-?play){_END}",
    "Long-Chat": rf"{_START}long{_END}|longchat|{_START}(64|128|200|256|512|1000)k{_END}|{_START}1m{_END}",
    "RAG": rf"{_START}rag{_END}",
    "Chinese": rf"chinese|{_START}zh{_END}",
    "MT": rf"{_START}mt{_END}",
}
_COMPILED = {name: re.compile(pattern) for name, pattern in _PATTERNS.items()}
_SAID_ELSEWHERE: Mapping[str, tuple[str, ...]] = {"index-1.9b-base": ("Base", "Pure")}
"""Names that do not say what their publisher does: IndexTeam's base model is the pure one of its pair."""

_VERSION = re.compile(r"(?<![a-z0-9])v(\d+(?:\.\d+){0,2})(?![a-z0-9])", re.IGNORECASE)
_SIZE = re.compile(r"(?<![a-z0-9.x])(\d+(?:\.\d+)?)([bm])(\d*)(?![a-z0-9])")
_ACTIVE = re.compile(r"(?<![a-z0-9])a(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")
_ACTIVE_AND_ALL = re.compile(r"moe-(\d+(?:\.\d+)?)(b)-(?=\d+(?:\.\d+)?b(?![a-z0-9]))")
"""OLMoE-1B-7B: the active parameters come first."""
_EXPERTS = re.compile(r"(\d+)(b)-\d+e(?![a-z0-9])")
_UNITS = {"b": 10**9, "m": 10**6}
_DOT = re.compile(r"(?<=\d)_(?=\d)")
"""What publishers who avoid dots write instead: Qwen-1_8B, v1_5."""


@dataclass(frozen=True)
class NameSays:
    """What a name alone says; `parameters` and `active` are rounded as in the name, None where it is silent."""

    tags: tuple[str, ...]
    parameters: int | None
    active: int | None
    version: str | None


def tags(name: str) -> tuple[str, ...]:
    """The tags in a model's name, in the guide's spelling and order; a version number is its own tag ("v0.1")."""
    return name_says(name).tags


def name_says(name: str) -> NameSays:
    last = _DOT.sub(".", name.rstrip("/").rsplit("/", 1)[-1]).replace("_", "-")
    lower = last.lower()
    found = _VERSION.search(last)
    version = f"v{found[1]}" if found else None
    named = set(_SAID_ELSEWHERE.get(lower, ())) | {tag for tag, pattern in _COMPILED.items() if pattern.search(lower)}
    ordered = [version if tag == "version" else tag for tag in TAGS if tag in named or (tag == "version" and version)]
    return NameSays(tuple(tag for tag in ordered if tag), _parameters(lower), _active(lower), version)


def tag_named(name: str) -> Tag | None:
    """The explanation of a tag as `tags` spells it."""
    return TAGS["version"] if _VERSION.fullmatch(name) else TAGS.get(name)


def _parameters(lower: str) -> int | None:
    if _EXPERTS.search(lower):
        return None
    first = _ACTIVE_AND_ALL.search(lower)
    found = _SIZE.search(lower, first.end() if first else 0)
    if found is None:
        return None
    whole, unit, tenths = found.groups()
    number = float(f"{whole}.{tenths}") if tenths and "." not in whole else float(whole)
    return round(number * _UNITS[unit])


def _active(lower: str) -> int | None:
    found = _ACTIVE.search(lower) or _EXPERTS.search(lower) or _ACTIVE_AND_ALL.search(lower)
    return round(float(found[1]) * _UNITS[found[2]]) if found else None
