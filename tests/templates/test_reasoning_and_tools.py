"""What is learned of reasoning and of calls with templates of the registry, family by family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetty.backend.conversation import load_encoder
from finetty.backend.conversation.rows import Row, Turn
from finetty.backend.recipe import Recipe, with_values

REASONED = Row(
    (
        Turn("user", "Q1"),
        Turn("assistant", "A1", reasoning="T1"),
        Turn("user", "Q2"),
        Turn("assistant", "A2", reasoning="T2"),
    )
)
PLAIN = Row((Turn("user", "Q1"), Turn("assistant", "A1")))
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "杭州", "days": 3}}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "description": "Its name."}}}
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": SCHEMA}}
CALLED = Row(
    (
        Turn("user", "Q"),
        Turn("assistant", "", tool_calls=(CALL,)),
        Turn("tool", "rain", name="weather"),
        Turn("assistant", "A"),
    ),
    tools=(TOOL,),
)
OPENED = "<think>\n"
CALLS = {
    "qwen3": '<tool_call>\n{"name": "weather", "arguments": {"city": "杭州", "days": 3}}\n</tool_call><|im_end|>',
    "qwen3_5": "<tool_call>\n<function=weather>\n<parameter=city>\n杭州\n</parameter>\n<parameter=days>\n3\n"
    "</parameter>\n</function>\n</tool_call><|im_end|>",
    "glm4": 'weather\n{"city": "杭州", "days": 3}<|observation|>',
    "glm4_7": "<tool_call>weather<arg_key>city</arg_key><arg_value>杭州</arg_value>"
    "<arg_key>days</arg_key><arg_value>3</arg_value></tool_call><|observation|>",
    "llama3": '{"name": "weather", "parameters": {"city": "杭州", "days": 3}}<|eot_id|>',
    "lfm2": "<|tool_call_start|>[weather(city='杭州', days=3)]<|tool_call_end|><|im_end|>",
    "gemma4": '<|tool_call>call:weather{city:<|"|>杭州<|"|>,days:3}<tool_call|><turn|>',
    "mistral": '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "杭州", "days": 3}}]<|im_end|>',
    "minimax2": '\n<minimax:tool_call>\n<invoke name="weather">\n<parameter name="city">杭州</parameter>\n'
    '<parameter name="days">3</parameter>\n</invoke>\n</minimax:tool_call>[e~[',
    "vicuna": ' Action: weather\nAction Input: {"city": "杭州", "days": 3}<|im_end|>',
}


def learned(folder: Path, name: str, row: Row, **settings: Any) -> list[tuple[str, str]]:
    """Of each text of the row: what stands before the first learned token, and what is learned."""
    found = []
    for sequence in load_encoder(folder, with_values(Recipe(), {"template.name": name, **settings})).encode(row):
        first = sequence.trained.index(True)
        pieces = list(zip(sequence.pieces, sequence.trained, strict=True))
        prompt = "".join(piece for piece, _ in pieces[:first])
        found.append((prompt, "".join(piece for piece, trained in pieces if trained)))
    return found


@pytest.mark.parametrize(
    ("name", "thought"),
    [
        ("qwen3", "<think>\n{}\n</think>\n\n"),
        ("qwen3_5", "{}\n</think>\n\n"),
        ("deepseekr1", "{}\n</think>\n\n"),
        ("glm4_7", "{}</think>"),
        ("gpt_oss", "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>"),
        ("kimi_vl", "◁think▷{}◁/think▷"),
    ],
)
def test_each_answer_is_learned_with_its_reasoning_and_without_the_earlier(
    name: str, thought: str, tiny_model: Path
) -> None:
    first, second = learned(tiny_model, name, REASONED)
    assert first[1].startswith(thought.format("T1") + "A1")
    assert second[1].startswith(thought.format("T2") + "A2")
    assert "A1" in second[0]
    assert "T1" not in second[0]


@pytest.mark.parametrize("name", ["qwen3", "qwen3_5", "deepseekr1", "glm4_7", "glm4_moe", "gemma4", "seed_oss"])
def test_without_reasoning_the_empty_thought_is_prompt(name: str, tiny_model: Path) -> None:
    for row, settings in ((PLAIN, {}), (REASONED, {"template.thinking": False})):
        for prompt, answer in learned(tiny_model, name, row, **settings):
            assert answer.strip().startswith("A")
            assert "T1" not in prompt + answer
            assert "think" not in answer


def test_the_exported_template_thinks_only_if_asked(tiny_model: Path) -> None:
    for thinking, opens in ((None, False), (True, True), (False, False)):
        settings = {"template.name": "qwen3_5"} | ({} if thinking is None else {"template.thinking": thinking})
        template = load_encoder(tiny_model, with_values(Recipe(), settings)).renderer.template
        asked = template.render({"messages": [{"role": "user", "content": "Q"}], "add_generation_prompt": True})
        assert asked.endswith(OPENED) is opens


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_call_is_learned_in_the_familys_format(name: str, tiny_model: Path) -> None:
    found = learned(tiny_model, name, CALLED)
    assert found[0][1].startswith(CALLS[name])
    assert "weather" in found[0][0]
    assert "rain" not in "".join(answer for _, answer in found)
