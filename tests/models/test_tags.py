"""The tags in models' names, by the guide's own examples and by names that only look like one."""

from __future__ import annotations

import pytest

from finetty.backend.models import TAGS, name_says, tag_named, tags

GUIDE = {
    "Qwen3-14B-Base": ("Base",),
    "DeepSeek-LLM-7B-Chat": ("Chat",),
    "Qwen3-0.6B-Instruct": ("Instruct",),
    "DeepSeek-R1-1.5B-Distill": ("Distill",),
    "DeepSeek-Math-7B-Instruct": ("Instruct", "Math"),
    "DeepSeek-Coder-V2-16B": ("Coder", "v2"),
    "Kimi-VL-A3B-Instruct": ("Instruct", "VL", "MoE"),
    "LLaVA-NeXT-Video-7B-Chat": ("Chat", "VL", "Video"),
    "Qwen2-Audio-7B": ("Audio",),
    "Qwen2-VL-2B-Instruct-GPTQ-Int8": ("Instruct", "VL", "Int8", "GPTQ"),
    "Qwen2.5-VL-72B-Instruct-AWQ": ("Instruct", "VL", "AWQ"),
    "DeepSeek-MoE-16B-Chat": ("Chat", "MoE"),
    "MiMo-7B-Instruct-RL": ("Instruct", "RL"),
    "Mistral-7B-v0.1": ("v0.1",),
    "Index-1.9B-Base": ("Base", "Pure"),
    "Index-1.9B-Character-Chat": ("Chat", "Character"),
    "Orion-14B-Long-Chat": ("Chat", "Long-Chat"),
    "Orion-14B-RAG-Chat": ("Chat", "RAG"),
    "Llama-3-70B-Chinese-Chat": ("Chat", "Chinese"),
    "BLOOMZ-7B1-mt": ("MT",),
}


@pytest.mark.parametrize(("name", "expected"), GUIDE.items())
def test_the_guides_examples(name: str, expected: tuple[str, ...]) -> None:
    assert tags(name) == expected


def test_every_tag_is_explained_and_its_example_carries_it() -> None:
    for tag in TAGS.values():
        assert tag.meaning().text.endswith(".")
        carried = tags(tag.example)
        assert (tag.name in carried) if tag.name != "version" else any(tag_named(one) is tag for one in carried)


@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "google/gemma-3-4b-it": ("Instruct",),
        "google/gemma-3-4b-pt": ("Base",),
        "meta-llama/CodeLlama-7b-hf": ("Coder",),
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": ("Distill",),
        "OpenGVLab/InternVL3-8B": ("VL",),
        "openbmb/MiniCPM-V-2_6": ("VL",),
        "mistralai/Mixtral-8x7B-Instruct-v0.1": ("Instruct", "MoE", "v0.1"),
        "Qwen/Qwen3-30B-A3B-Instruct-2507": ("Instruct", "MoE"),
        "unsloth/llama-3-8b-bnb-4bit": ("Int4",),
        "microsoft/Phi-3-mini-128k-instruct": ("Instruct", "Long-Chat"),
    }.items(),
)
def test_names_of_other_publishers(name: str, expected: tuple[str, ...]) -> None:
    assert tags(name) == expected


@pytest.mark.parametrize("name", ["openai/gpt2", "Qwen/Qwen3-0.6B", "some/encoder-decoder-1B", "moonbase/smart-it2"])
def test_a_word_inside_another_is_no_tag(name: str) -> None:
    assert tags(name) == ()


@pytest.mark.parametrize(
    ("name", "parameters", "active", "version"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 135_000_000, None, None),
        ("BLOOMZ-7B1-mt", 7_100_000_000, None, None),
        ("Qwen/Qwen3-30B-A3B", 30_000_000_000, 3_000_000_000, None),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", None, 17_000_000_000, None),
        ("mistralai/Mixtral-8x7B-v0.1", None, None, "v0.1"),
        ("mistralai/Mistral-7B-Instruct-v0.3", 7_000_000_000, None, "v0.3"),
    ],
)
def test_sizes_and_versions(name: str, parameters: int | None, active: int | None, version: str | None) -> None:
    said = name_says(name)
    assert (said.parameters, said.active, said.version) == (parameters, active, version)
