"""The four ways to write a row are recognised from the rows and read into the same turns."""

from __future__ import annotations

from typing import Any

import pytest

from finetty.backend.conversation import Turn
from finetty.backend.dataset import Rows
from finetty.backend.messages import Refusal

TURNS = (Turn("user", "Q"), Turn("assistant", "A"))

RECOGNISED = [
    ({"instruction": "Q", "output": "A"}, "alpaca"),
    ({"instruction": "Q", "input": "", "output": "A", "system": None, "history": []}, "alpaca"),
    ({"Instruction": "Q", "Output": "A"}, "alpaca"),
    ({"instruction": "Q", "context": "", "response": "A", "category": "x"}, "alpaca"),
    ({"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}, "sharegpt"),
    ({"id": 3, "conversation": [{"from": "user", "value": "Q"}, {"from": "assistant", "value": "A"}]}, "sharegpt"),
    ({"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}, "messages"),
    ({"conversations": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}, "messages"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Q"}]}, {"role": "model", "content": "A"}]},
        "messages",
    ),
    ({"prompt": "Q", "completion": "A"}, "prompt_completion"),
    (
        {"prompt": [{"role": "user", "content": "Q"}], "completion": [{"role": "assistant", "content": "A"}]},
        "prompt_completion",
    ),
    ({"question": "Q", "answer": "A"}, "prompt_completion"),
    ({"query": "Q", "response": "A"}, "prompt_completion"),
    ({"input": "Q", "output": "A"}, "prompt_completion"),
]


def only(rows: Rows) -> tuple[Turn, ...]:
    (row,) = rows.rows
    return row.turns


@pytest.mark.parametrize(("row", "name"), RECOGNISED)
def test_recognised_from_the_rows(read: Any, row: dict[str, Any], name: str) -> None:
    rows = read([row])
    assert list(rows.formats.values()) == [name]
    assert only(rows) == TURNS


def test_the_format_is_that_of_most_rows(read: Any) -> None:
    rows = read([{"prompt": f"Q{n}", "completion": "A"} for n in range(9)] + [{"instruction": "Q", "output": "A"}])
    (form,) = rows.recognised.values()
    assert form.name == "prompt_completion"
    assert form.sure == 0.9
    assert [refused.line for refused in rows.refused] == [10]


def test_alpaca_with_everything(read: Any) -> None:
    row = {"system": "S", "history": [["a", "b"], ["c", "d"]], "instruction": "Q", "input": "I", "output": "A"}
    assert only(read([row])) == (
        Turn("system", "S"),
        Turn("user", "a"),
        Turn("assistant", "b"),
        Turn("user", "c"),
        Turn("assistant", "d"),
        Turn("user", "Q\nI"),
        Turn("assistant", "A"),
    )


def test_sharegpt_with_tools(read: Any) -> None:
    row = {
        "system": "S",
        "tools": '[{"name": "f", "parameters": {}}]',
        "conversations": [
            {"from": "human", "value": "Q"},
            {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
            {"from": "observation", "value": "3"},
            {"from": "gpt", "value": "A"},
        ],
    }
    rows = read([row])
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    assert only(rows) == (
        Turn("system", "S"),
        Turn("user", "Q"),
        Turn("assistant", "", tool_calls=(call,)),
        Turn("tool", "3"),
        Turn("assistant", "A"),
    )
    assert rows.rows[0].tools == ({"type": "function", "function": {"name": "f", "parameters": {}}},)


def test_messages_with_reasoning_and_tool_calls(read: Any) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    said = [
        {"role": "developer", "content": "S"},
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "3", "tool_call_id": "c1", "name": "f"},
        {"role": "assistant", "content": "A", "reasoning_content": "R"},
        {"role": "user", "content": "and then?"},
    ]
    turns = only(read([{"messages": said}]))
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "tool", "assistant"]
    assert turns[2].tool_calls[0]["function"]["arguments"] == {"x": 1}
    assert (turns[3].name, turns[3].call_id) == ("f", "c1")
    assert turns[4].reasoning == "R"


def test_columns_are_the_users(read: Any) -> None:
    rows = [{"frage": "Q", "antwort": "A"}]
    assert only(read(rows, columns={"instruction": "frage", "output": "antwort"})) == TURNS
    assert only(read(rows, columns={"prompt": "frage", "completion": "antwort"})) == TURNS
    chats = [{"chatlog": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}]
    assert only(read(chats, columns={"messages": "chatlog"})) == TURNS


def test_an_explicit_format_is_honoured(read: Any) -> None:
    both = {"instruction": "other", "output": "other", "prompt": "Q", "completion": "A"}
    assert only(read([both], format="prompt_completion")) == TURNS
    assert only(read([both], format="alpaca")) == (Turn("user", "other"), Turn("assistant", "other"))


def test_an_unknown_column_gets_the_nearest(read: Any) -> None:
    with pytest.raises(Refusal, match="Did you mean frage") as refused:
        read([{"frage": "Q", "antwort": "A"}], columns={"prompt": "frag", "completion": "antwort"})
    assert refused.value.path is not None
    with pytest.raises(Refusal, match="Did you mean prompt"):
        read([{"frage": "Q", "antwort": "A"}], columns={"promt": "frage", "completion": "antwort"})


def test_unrecognised_columns_are_named(read: Any) -> None:
    with pytest.raises(Refusal, match="frage, antwort") as refused:
        read([{"frage": "Q", "antwort": "A"}])
    assert refused.value.fix is not None
    assert "columns: {instruction: question, output: answer}" in refused.value.fix.text


def chat(*roles: str) -> list[dict[str, str]]:
    return [{"role": role, "content": "text"} for role in roles]


ODD = [
    (chat("assistant"), "out of turn"),
    (chat("user", "user", "assistant"), "out of turn"),
    (chat("user", "assistant", "assistant"), "out of turn"),
    (chat("user", "system", "assistant"), "belongs first"),
    (chat("system", "system", "user", "assistant"), "belongs first"),
    (chat("user", "tool", "assistant"), "no tool was called"),
    (chat("tool", "assistant"), "no tool was called"),
    (chat("user", "teacher", "assistant"), "teacher"),
    (chat("user"), "no answer"),
    (chat("system"), "no answer"),
    ([{"role": "user", "content": "Q"}, {"role": "assistant", "content": ""}], "answer is empty"),
    ([{"role": "user", "content": " "}, {"role": "assistant", "content": "A"}], "question is empty"),
    ([{"role": "user", "content": 3}, {"role": "assistant", "content": "A"}], "a number"),
    ([{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant", "content": "A"}], "image"),
    ([{"role": "user", "content": "Q"}, {"role": "assistant", "tool_calls": [{"function": 3}]}], "tool call"),
    ([{"role": "user", "content": "Q"}, {"role": "assistant", "tool_calls": 7}], "tool call"),
    ([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "reasoning": 3}], "a number"),
    ([{"content": "Q"}, {"role": "assistant", "content": "A"}], "no role"),
    (["Q", "A"], "not an object"),
    ("Q", "not a list of messages"),
]


@pytest.mark.parametrize(("said", "reason"), ODD)
def test_odd_conversations_are_refused_with_a_reason(read: Any, said: Any, reason: str) -> None:
    good = {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}
    rows = read([good, {"messages": said}])
    assert len(rows.rows) == 1
    (refused,) = rows.refused
    assert refused.line == 2
    assert reason in refused.reason.text


def test_a_strangers_text_in_a_reason_is_short_and_visible(read: Any) -> None:
    good = {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}
    said = [{"role": "\x1b[31m\u202eevil\n" + "x" * 500, "content": "Q"}, {"role": "assistant", "content": "A"}]
    (refused,) = read([good, {"messages": said}]).refused
    assert refused.reason.text.isprintable()
    assert len(refused.reason.text) < 120
