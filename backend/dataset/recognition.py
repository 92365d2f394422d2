"""Which way to write a row a file has: said by the recipe, or recognised from the columns of its first rows."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from finetty.backend.dataset.formats import NOT_AN_OBJECT, TURNS_PART, Columns, Format, Unusable, as_list
from finetty.backend.dataset.records import shown
from finetty.backend.messages import Message, Refusal, message

NO_SUCH_COLUMN = message("dataset.no_such_column", "No row has a column {column}; there are: {columns}.")
NO_SUCH_PART = message("dataset.no_such_part", "columns cannot name {part}; its keys are: {parts}.")
NEAREST = message("dataset.nearest", "Did you mean {name}?")
NAME_COLUMNS = message(
    "dataset.name_columns",
    "Name them in dataset.train, for example columns: {{instruction: question, output: answer}}.",
)
UNRECOGNISED = message("dataset.unrecognised", "It is not clear which columns to learn from; there are: {columns}.")

LISTS = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat", "turns")
INSTRUCTIONS = (("instruction", "output"), ("instruction", "response"), ("instruction", "answer"))
INPUTS = ("input", "context")
PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("prompt", "answer"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("query", "answer"),
    ("problem", "solution"),
    ("input", "output"),
    ("q", "a"),
)
SAMPLE_ROWS = 200


def recognise(sample: Sequence[Any], asked: str, columns: Columns) -> Format:
    """The format of a file from its first records; `asked` and `columns` are what the recipe says of it.

    Raises Refusal: columns that no row has, or nothing recognised.
    """
    rows = [record for record in sample if isinstance(record, dict)]
    _check_columns(rows, columns)
    name = asked if asked != "auto" else named_by(columns)
    guesses = Counter(guess for record in rows if (guess := _guess(record, name)))
    if guesses:
        (best, found), count = guesses.most_common(1)[0]
        return Format(name or best, {**dict(found), **columns}, count / len(rows), tags_of(columns))
    if name is None:
        _refuse_columns(rows)
    return Format(str(name), dict(columns), tags=tags_of(columns))


def _guess(record: dict[str, Any], name: str | None) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    """The format and the columns that this record alone suggests; only of the format `name`, if one is known."""
    lowered = {key.lower(): key for key in record}
    for suggest in (_guess_turns, _guess_alpaca, _guess_pair, _guess_text):
        guess = suggest(record, lowered)
        if guess and (name is None or guess[0] == name):
            return guess[0], tuple(sorted(guess[1].items()))
    return None


Guess = tuple[str, dict[str, str]] | None


def _guess_turns(record: dict[str, Any], lowered: Mapping[str, str]) -> Guess:
    for word in LISTS:
        value = as_list(record.get(lowered.get(word, word)))
        if isinstance(value, list) and (not value or isinstance(value[0], dict)):
            name = "sharegpt" if value and "from" in value[0] else "messages"
            return name, {TURNS_PART[name]: lowered[word]}
    return None


def _guess_alpaca(_record: dict[str, Any], lowered: Mapping[str, str]) -> Guess:
    for question, answer in INSTRUCTIONS:
        if question in lowered and answer in lowered:
            found = {"instruction": lowered[question], "output": lowered[answer]}
            more = next((lowered[word] for word in INPUTS if word in lowered), None)
            return "alpaca", {**found, "input": more} if more else found
    return None


def _guess_pair(_record: dict[str, Any], lowered: Mapping[str, str]) -> Guess:
    for question, answer in PAIRS:
        if question in lowered and answer in lowered:
            return "prompt_completion", {"prompt": lowered[question], "completion": lowered[answer]}
    return None


def _guess_text(record: dict[str, Any], lowered: Mapping[str, str]) -> Guess:
    column = lowered.get("text")
    return ("text", {"text": column}) if column and isinstance(record[column], str) else None


PARTS = {
    "alpaca": ("instruction", "input", "output", "system", "history", "tools"),
    "sharegpt": ("conversations", "system", "tools"),
    "messages": ("messages", "system", "tools"),
    "prompt_completion": ("prompt", "completion", "system", "tools"),
    "text": ("text",),
}
"""What a column can be, for each way to write a row."""
TAGS = {"role": "role_tag", "content": "content_tag", "user": "user_tag", "assistant": "assistant_tag"}
"""What can be named inside of messages: the keys of role and text, and what the two who speak are called."""
_NAMED_BY = {
    "messages": "messages",
    "conversations": "sharegpt",
    "prompt": "prompt_completion",
    "completion": "prompt_completion",
    "instruction": "alpaca",
    "output": "alpaca",
    "history": "alpaca",
    "text": "text",
}


def named_by(columns: Columns) -> str | None:
    return next((name for part, name in _NAMED_BY.items() if part in columns), None)


def _check_columns(rows: Sequence[dict[str, Any]], columns: Columns) -> None:
    parts = sorted({part for names in (*PARTS.values(), TAGS) for part in names})
    for part, column in columns.items():
        if part not in parts:
            fix = _nearest(part, parts)
            raise Refusal(NO_SUCH_PART(part=part, parts=", ".join(parts)), fix, option="dataset.train")
        if rows and part not in TAGS and column is not None and not any(column in record for record in rows):
            there = _column_names(rows)
            said = NO_SUCH_COLUMN(column=column, columns=", ".join(there) or "none")
            raise Refusal(said, _nearest(column, there), option="dataset.train")


def tags_of(columns: Columns) -> dict[str, str]:
    """The names inside of messages, as LLaMA-Factory's lists call them."""
    return {tag: name for part, tag in TAGS.items() if (name := columns.get(part))}


def _nearest(wrong: str, right: Sequence[str]) -> Message | None:
    near = difflib.get_close_matches(wrong, right, n=1, cutoff=0.5)
    return NEAREST(name=near[0]) if near else None


def _refuse_columns(rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        there = ", ".join(_column_names(rows)) or "none"
        raise Refusal(UNRECOGNISED(columns=there), NAME_COLUMNS(), option="dataset.train")
    raise Unusable(NOT_AN_OBJECT(what="something else"))


def _column_names(rows: Sequence[dict[str, Any]]) -> list[str]:
    names = dict.fromkeys(shown(key) for record in rows for key in record)
    return list(names)[:20]
