"""The ways to write a row, and how each is read into turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetty.backend.conversation.rows import Role, Turn
from finetty.backend.dataset.records import shown
from finetty.backend.messages import Message, message

NOT_AN_OBJECT = message("dataset.not_an_object", "The row is {what}, not a JSON object.")
MISSING = message("dataset.missing", "The row has no column {column}.")
NOT_TEXT = message("dataset.not_text", "The column {column} holds {what}, not a text.")
NOT_TURNS = message("dataset.not_turns", "The column {column} holds {what}, not a list of messages.")
NOT_A_TURN = message("dataset.not_a_turn", "Message {number} is {what}, not an object.")
NO_ROLE = message("dataset.no_role", "Message {number} has no role.")
UNKNOWN_ROLE = message("dataset.unknown_role", "Message {number} has the role {role}, which is none of them.")
NOT_TEXT_TURN = message("dataset.not_text_turn", "Message {number} holds {what}, not a text.")
NOT_ONLY_TEXT = message("dataset.not_only_text", "Message {number} holds an image or another medium, not only text.")
EMPTY_ANSWER = message("dataset.empty_answer", "The answer is empty.")
EMPTY_QUESTION = message("dataset.empty_question", "The question is empty.")
EMPTY_TEXT = message("dataset.empty_text", "The text is empty.")
NO_ANSWER = message("dataset.no_answer", "The row has no answer to learn.")
SYSTEM_NOT_FIRST = message("dataset.system_not_first", "Message {number} is a system prompt, which belongs first.")
OUT_OF_ORDER = message("dataset.out_of_order", "Message {number} of the {role} is out of turn.")
NO_CALL = message("dataset.no_call", "Message {number} is a tool's answer, but no tool was called.")
BROKEN_CALL = message("dataset.broken_call", "Message {number} holds a tool call that is not valid.")
BROKEN_TOOLS = message("dataset.broken_tools", "The column {column} holds tools that are not valid.")
TOO_DEEP = message("dataset.too_deep", "The row's tools are nested too deeply.")
BROKEN_HISTORY = message("dataset.broken_history", "The column {column} is not a list of questions and answers.")

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "ipython": "tool",
}
CALL_ROLES = ("function_call", "tool_call")
DEEPEST = 100
"""Levels of lists and objects in tools and calls: whoever writes them as text again needs a stack for each."""


Columns = Mapping[str, str | None]
"""Part → the column that it is; None says that no column is."""


class Unusable(Exception):
    """A row that cannot be used; `reason` says why."""

    def __init__(self, reason: Message) -> None:
        super().__init__(reason.text)
        self.reason = reason


@dataclass(frozen=True)
class Format:
    """How a file's rows are written: its name, the file's column for each part, and the share of rows that fit."""

    name: str
    columns: Columns
    sure: float = 1.0
    tags: Mapping[str, str] = field(default_factory=dict)
    """LLaMA-Factory's names for roles and contents, where they are not the usual ones."""

    def column(self, part: str) -> str | None:
        return self.columns.get(part, part)

    def value(self, record: dict[str, Any], part: str) -> Any:
        """What a record has as this part; None where it has nothing."""
        column = self.column(part)
        return None if column is None else record.get(column)

    def called(self, part: str) -> str:
        """What the part is called in a sentence about a row."""
        return shown(self.column(part) or part)


Tools = tuple[Mapping[str, Any], ...]


def read_record(record: Any, form: Format) -> tuple[tuple[Turn, ...], Tools]:
    """The turns of a record and the tools it offers. Raises Unusable."""
    if not isinstance(record, dict):
        raise Unusable(NOT_AN_OBJECT(what=kind_of(record)))
    turns = list(_READERS[form.name](record, form))
    if form.name == "text":
        return tuple(turns), ()
    tools = _tools(record, form)
    if not _is_shallow([tools, [turn.tool_calls for turn in turns]]):
        raise Unusable(TOO_DEEP())
    return _in_order(turns), tools


def kind_of(value: Any) -> str:
    """A value's kind in words."""
    if value is None:
        return "null"
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), "something else")


def _alpaca(record: dict[str, Any], form: Format) -> Iterator[Turn]:
    yield from _system(record, form)
    yield from _history(record, form)
    question = [_text(record, form, "instruction", needed=True), _text(record, form, "input")]
    yield Turn("user", "\n".join(part for part in question if part.strip()))
    yield Turn("assistant", _text(record, form, "output", needed=True))


def _history(record: dict[str, Any], form: Format) -> Iterator[Turn]:
    history = as_list(form.value(record, "history")) or None
    if history is None:
        return
    if not isinstance(history, list):
        raise Unusable(BROKEN_HISTORY(column=form.called("history")))
    for pair in history:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise Unusable(BROKEN_HISTORY(column=form.called("history")))
        yield Turn("user", pair[0])
        yield Turn("assistant", pair[1])


def _prompt_completion(record: dict[str, Any], form: Format) -> Iterator[Turn]:
    yield from _system(record, form)
    for part, role in (("prompt", "user"), ("completion", "assistant")):
        value = form.value(record, part)
        if isinstance(value, list):
            yield from _turns(value, form.tags)
        else:
            yield Turn("user" if role == "user" else "assistant", _text(record, form, part, needed=True))


def _messages(record: dict[str, Any], form: Format) -> Iterator[Turn]:
    part = TURNS_PART[form.name]
    if form.column(part) not in record:
        raise Unusable(MISSING(column=form.called(part)))
    turns = as_list(form.value(record, part))
    if not isinstance(turns, list):
        raise Unusable(NOT_TURNS(column=form.called(part), what=kind_of(turns)))
    yield from _system(record, form)
    yield from _turns(turns, form.tags)


def as_list(value: Any) -> Any:
    """A list that a table's cell holds as JSON; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _plain_text(record: dict[str, Any], form: Format) -> Iterator[Turn]:
    """A text to go on with in pretraining: an answer that nobody asked for (`Row.plain`)."""
    text = _text(record, form, "text", needed=True)
    if not text.strip():
        raise Unusable(EMPTY_TEXT())
    yield Turn("assistant", text)


TURNS_PART = {"sharegpt": "conversations", "messages": "messages"}
"""The part that holds the messages."""
_READERS: dict[str, Callable[[dict[str, Any], Format], Iterator[Turn]]] = {
    "alpaca": _alpaca,
    "sharegpt": _messages,
    "messages": _messages,
    "prompt_completion": _prompt_completion,
    "text": _plain_text,
}


def _system(record: dict[str, Any], form: Format) -> Iterator[Turn]:
    text = _text(record, form, "system")
    if text.strip():
        yield Turn("system", text)


def _text(record: dict[str, Any], form: Format, part: str, *, needed: bool = False) -> str:
    """A column's text; an absent or null one is empty, unless it is needed."""
    column = form.column(part)
    if column not in record:
        if needed:
            raise Unusable(MISSING(column=form.called(part)))
        return ""
    value = record[column]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unusable(NOT_TEXT(column=form.called(part), what=kind_of(value)))
    return value


def _turns(messages: Sequence[Any], tags: Mapping[str, str]) -> Iterator[Turn]:
    for number, said in enumerate(messages, 1):
        if not isinstance(said, dict):
            raise Unusable(NOT_A_TURN(number=number, what=kind_of(said)))
        yield _turn(_retagged(said, tags) if tags else said, number)


_TAGS = {"user_tag": "user", "assistant_tag": "assistant", "observation_tag": "tool", "system_tag": "system"}


def _retagged(said: dict[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """A message whose role and content are named otherwise, with the usual names."""
    roles = {tags[tag]: role for tag, role in {**_TAGS, "function_tag": "function_call"}.items() if tag in tags}
    role = said.get(tags["role_tag"]) if "role_tag" in tags else _role(said)
    again = {**said, "role": roles.get(role, role) if isinstance(role, str) else role}
    return {**again, "content": said.get(tags["content_tag"])} if "content_tag" in tags else again


def _turn(said: dict[str, Any], number: int) -> Turn:
    written = _role(said)
    if not isinstance(written, str):
        raise Unusable(NO_ROLE(number=number))
    role = ROLES.get(written.strip().lower())
    if role is None:
        raise Unusable(UNKNOWN_ROLE(number=number, role=shown(written)))
    content = _content(next((said[key] for key in ("content", "value", "text") if key in said), None), number)
    if written.strip().lower() in CALL_ROLES:
        return Turn(role, "", tool_calls=_calls(_json(content, number), number))
    reasoning = next((said[key] for key in ("reasoning_content", "reasoning", "thinking") if said.get(key)), None)
    if not isinstance(reasoning, str | None):
        raise Unusable(NOT_TEXT_TURN(number=number, what=kind_of(reasoning)))
    name, call_id = said.get("name"), said.get("tool_call_id")
    return Turn(
        role,
        content,
        reasoning if role == "assistant" else None,
        _calls(said.get("tool_calls"), number) if role == "assistant" else (),
        name if isinstance(name, str) and role == "tool" else None,
        call_id if isinstance(call_id, str) and role == "tool" else None,
    )


def _role(said: dict[str, Any]) -> Any:
    return next((said[key] for key in ("role", "from", "speaker") if key in said), None)


def _content(value: Any, number: int) -> str:
    """A message's text; a list of text parts is joined, null is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise Unusable(NOT_TEXT_TURN(number=number, what=kind_of(value)))
    texts = []
    for part in value:
        text = part.get("text") if isinstance(part, dict) and part.get("type", "text") == "text" else part
        if not isinstance(text, str):
            raise Unusable(NOT_ONLY_TEXT(number=number))
        texts.append(text)
    return "".join(texts)


def _calls(value: Any, number: int) -> tuple[Mapping[str, Any], ...]:
    """Tool calls in OpenAI's form, their arguments as objects, as templates expect them."""
    if value is None:
        return ()
    calls = value if isinstance(value, list) else [value]
    return tuple(_call(call, number) for call in calls)


def _call(call: Any, number: int) -> Mapping[str, Any]:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Unusable(BROKEN_CALL(number=number))
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        arguments = _json(arguments, number) if arguments.strip() else {}
    if not isinstance(arguments, dict | None):
        raise Unusable(BROKEN_CALL(number=number))
    written: dict[str, Any] = {"type": "function", "function": {"name": function["name"], "arguments": arguments or {}}}
    if isinstance(call.get("id"), str):
        written["id"] = call["id"]
    return written


def _json(text: str, number: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unusable(BROKEN_CALL(number=number)) from None


def _tools(record: dict[str, Any], form: Format) -> Tools:
    """The tools that a row offers, as JSON schemas in OpenAI's form."""
    value = form.value(record, "tools")
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except (ValueError, RecursionError):
            raise Unusable(BROKEN_TOOLS(column=form.called("tools"))) from None
    if not value:
        return ()
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise Unusable(BROKEN_TOOLS(column=form.called("tools")))
    return tuple(tool if "function" in tool else {"type": "function", "function": tool} for tool in value)


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return True
    return False


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _in_order(turns: list[Turn]) -> tuple[Turn, ...]:
    """The turns up to the last answer, if they follow one another as a conversation does. Raises Unusable."""
    while turns and turns[-1].role != "assistant":
        turns.pop()
    if not turns:
        raise Unusable(NO_ANSWER())
    if turns[0].role == "system" and not turns[0].content.strip():
        turns = turns[1:]
    before: Turn | None = None
    for number, turn in enumerate(turns, 1):
        _check_turn(turn, before, number)
        before = turn
    return tuple(turns)


def _check_turn(turn: Turn, before: Turn | None, number: int) -> None:
    previous = before.role if before else None
    if turn.role == "system" and previous is not None:
        raise Unusable(SYSTEM_NOT_FIRST(number=number))
    if turn.role == "tool" and not (previous == "tool" or (before and before.tool_calls)):
        raise Unusable(NO_CALL(number=number))
    if turn.role == "assistant" and previous not in ("user", "tool"):
        raise Unusable(OUT_OF_ORDER(number=number, role=turn.role))
    if turn.role == "user" and previous not in (None, "system", "assistant"):
        raise Unusable(OUT_OF_ORDER(number=number, role=turn.role))
    if turn.role == "assistant" and not turn.content.strip() and not turn.tool_calls:
        raise Unusable(EMPTY_ANSWER())
    if turn.role == "user" and not turn.content.strip():
        raise Unusable(EMPTY_QUESTION())
