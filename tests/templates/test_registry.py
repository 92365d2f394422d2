"""Every template that ships is found, compiles, writes what its publisher writes, and marks what is learned."""

from __future__ import annotations

import json
import re
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.conversation import load_encoder, registry
from finetty.backend.conversation.rows import Row, Turn
from finetty.backend.conversation.sandbox import ChatTemplate
from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe, with_values

NAMES = [found.name for found in registry.template_names()]
EXPECTED = {path.stem: json.loads(path.read_text("utf-8")) for path in Path(__file__).parent.glob("expected/*.json")}
CONVERSATION = Row(
    (
        Turn("user", "帮我写一首关于春天的诗"),
        Turn("assistant", "春眠不觉晓"),
        Turn("user", "More?"),
        Turn("assistant", "No."),
    )
)

WITHOUT_END = {"empty"}
"""Writes nothing but contents, as LLaMA-Factory's."""
ALWAYS_THINKS = {"glm5_next"}
"""Opens a thought in every question, so that an answer without one learns to close it."""


def test_every_file_is_a_template_or_a_tool_format() -> None:
    folder = Path(str(files("finetty.templates")))
    found = sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.y*ml"))
    formats = [name.removeprefix("tool_formats/") for name in found if name.startswith("tool_formats/")]
    assert sorted(NAMES) == [name for name in found if "/" not in name]
    assert len(found) == len(NAMES) + len(formats)
    assert [registry.tool_format(name).source for name in formats]


@pytest.mark.parametrize("name", NAMES)
def test_encodes_a_conversation_and_learns_its_answers(name: str, tiny_model: Path) -> None:
    encoder = load_encoder(tiny_model, with_values(Recipe(), {"template.name": name}))
    sequences = encoder.encode(CONVERSATION)
    learned = ""
    for sequence in sequences:
        pieces = zip(sequence.pieces, sequence.trained, strict=True)
        learned += "".join(piece for piece, trained in pieces if trained)
        assert "".join(sequence.pieces) == sequence.text
        assert "帮我写一首关于春天的诗" in sequence.text
    ends = "|".join(re.escape(end) for end in encoder.renderer.ends)
    written = ("<|channel|>final<|message|>", "<|END_RESPONSE|>", *(["</think>"] if name in ALWAYS_THINKS else []))
    marks = "|".join(map(re.escape, written))
    assert re.sub(rf"{ends}|{marks}|\s", "", learned) == "春眠不觉晓No."
    assert name in WITHOUT_END or len(re.findall(ends, learned)) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_says_where_it_comes_from(name: str) -> None:
    template = registry.template_named(name)
    assert len(template.source) > 10
    assert (template.verified is not None) == (name in EXPECTED)


def test_forty_families_are_held_to_their_publishers() -> None:
    assert len(EXPECTED) >= 40


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_writes_what_the_publisher_writes(name: str) -> None:
    template, recorded = ChatTemplate(registry.template_jinja(name), date(2026, 8, 1)), EXPECTED[name]
    assert len(recorded["cases"]) >= 4
    for case in recorded["cases"]:
        variables = {"messages": case["messages"], "tools": case["tools"], "add_generation_prompt": case["ask"]}
        if "thinking" in case:
            variables["enable_thinking"] = case["thinking"]
        assert template.render({**variables, **recorded["special"]}) == case["text"]


def test_the_guides_example() -> None:
    assert registry.render_template("qwen", "帮我写一首关于春天的诗") == (
        "<|im_start|>system\n"
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n"
        "帮我写一首关于春天的诗<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_the_guides_fields() -> None:
    qwen = registry.template_document("qwen")
    assert qwen["user"] == "<|im_start|>user\n{{content}}<|im_end|>\n<|im_start|>assistant\n"
    assert qwen["assistant"] == "{{content}}<|im_end|>\n"
    assert qwen["system"] == "<|im_start|>system\n{{content}}<|im_end|>\n"
    assert qwen["observation"] == (
        "<|im_start|>user\n<tool_response>\n{{content}}\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )
    assert qwen["default_system"] == "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    assert (qwen["tools"], qwen["stop"], qwen["replace_eos"]) == ("qwen", ["<|im_end|>"], True)


@pytest.mark.parametrize("name", NAMES)
def test_marks_change_nothing_but_the_marks(name: str) -> None:
    template = registry.template_named(name)
    plain, marked = template.jinja(), template.jinja(marks=True)
    assert "generation %}" not in plain
    assert "{% generation" in marked
    said: list[dict[str, Any]] = [{"role": "user", "content": " a "}, {"role": "assistant", "content": " b "}]
    variables = {"messages": said, "bos_token": "<s>", "eos_token": "</s>"}
    assert ChatTemplate(plain).render(variables) == ChatTemplate(marked).render(variables)


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(Refusal) as refused:
        registry.template_named("quen")
    assert "Did you mean qwen?" in str(refused.value)
    assert refused.value.option == "template.name"


@pytest.mark.parametrize("name", ["../qwen", "tool_formats/qwen", "", "/etc/passwd"])
def test_a_name_cannot_leave_the_registry(name: str) -> None:
    with pytest.raises(Refusal):
        registry.template_named(name)


def test_a_slip_in_a_file_is_an_error() -> None:
    slots = {"name": "x", "source": "s", "assistant": "{{content}}", "system": "{{content}}", "generation": "A:"}
    with pytest.raises(ValueError, match="does not end with"):
        registry.Template(user="{{content}}", **slots)
