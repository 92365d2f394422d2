"""A run as LLaMA-Factory would repeat it: its keys, and the very rows that finetty learned from and measured on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from finetty.backend.conversation import template_named
from finetty.backend.conversation.loading import OWN_NAME
from finetty.backend.conversation.rows import Row, Turn
from finetty.backend.dataset import read_rows, read_validation, split_rows
from finetty.backend.messages import Message, Refusal, message
from finetty.backend.planning.plan import Plan
from finetty.backend.recipe import Recipe, with_values
from finetty.backend.recipe.to_llama_factory import not_carried, to_llama_factory
from finetty.backend.results.target import check_target, write_target
from finetty.backend.runs import Run

TWO_KINDS = message(
    "results.two_kinds", "Some rows are conversations and some plain text, which LLaMA-Factory trains in two runs."
)
NO_KEY = message("results.no_key", "LLaMA-Factory has no key for {option}.")
LOST_TEXTS = message(
    "results.lost_texts", "{count} answers say something and call a tool; LLaMA-Factory gets only the call."
)
MAKE_TWO = message("results.make_two", "Make a run of each kind, and export both.")

CONFIGURATION, SETS = "train.yaml", "dataset_info.json"
TRAIN, HELD_OUT = "train", "held_out"
BETWEEN_TOOLS = "\n</tool_response>\n<tool_response>\n"
"""What LLaMA-Factory itself puts between the answers of several tools."""
ROOM_FOR_THE_REST = 1 << 20


def rows_of(plan: Plan) -> tuple[Sequence[Row], Sequence[Row]]:
    """The rows that the run learns from and those it measures on. Raises Refusal where they cannot be read any more."""
    rows, kept_back = read_rows(plan.recipe), read_validation(plan.recipe)
    if kept_back is not None:
        return rows.rows, kept_back.rows
    return split_rows(rows.rows, plan.validation_rows or 0, plan.recipe.training.seed)


def export_llama_factory(run: Run, folder: Path) -> tuple[Path, list[Message]]:
    """Make `folder`, whole or not at all; returns its path and what could not come along. Raises Refusal."""
    target = check_target(folder, ROOM_FOR_THE_REST)
    left: list[Message] = []
    write_target(target, lambda beside: left.extend(write_llama_factory(run, beside)))
    return target, left


def write_llama_factory(run: Run, folder: Path) -> list[Message]:
    """Fill the folder; returns what could not come along. Raises Refusal and OSError.

    `llamafactory-cli train train.yaml` in that folder repeats the run.
    """
    plan = Plan.from_json(run.plan_document())
    train, held_out = rows_of(plan)
    sets = {TRAIN: train} | ({HELD_OUT: held_out} if len(held_out) else {})
    listed = {name: _write_set(folder, name, rows) for name, rows in sets.items()}
    (folder / SETS).write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    keys = to_llama_factory(
        _with_system(plan.recipe),
        sets=[TRAIN],
        held_out=HELD_OUT if HELD_OUT in sets else None,
        output=f"saves/{run.id}",
    )
    (folder / CONFIGURATION).write_text(_yaml(run, keys), encoding="utf-8")
    lost = sum(map(_lost_texts, sets.values()))
    # A weight needs no key: the rows are written as often as they are seen.
    options = [option for option in not_carried(plan.recipe) if option != "dataset.train.weight"]
    return [NO_KEY(option=option) for option in options] + ([LOST_TEXTS(count=lost)] if lost else [])


def _with_system(recipe: Recipe) -> Recipe:
    """The recipe with its template's own system prompt said: LLaMA-Factory's may differ by a full stop."""
    if recipe.template.system is not None or recipe.template.name in ("auto", OWN_NAME):
        return recipe
    return with_values(recipe, {"template.system": template_named(recipe.template.name).default_system or None})


def _yaml(run: Run, keys: dict[str, Any]) -> str:
    stream = StringIO()
    writer = YAML()
    writer.width = 4096
    writer.dump(keys, stream)
    return f"# {run.id}; in this folder: llamafactory-cli train {CONFIGURATION}\n{stream.getvalue()}"


def _write_set(folder: Path, name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Write the rows; returns their entry in dataset_info.json (LLaMA-Factory's data/README.md says what it means)."""
    plain, tools = {row.plain for row in rows}, any(row.tools for row in rows)
    if len(plain) > 1:
        raise Refusal(TWO_KINDS(), MAKE_TWO(), option="dataset.train")
    with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for document in _documents(rows, tools):
            file.write(json.dumps(document, ensure_ascii=False) + "\n")
    if True in plain:
        return {"file_name": f"{name}.jsonl", "columns": {"prompt": "text"}}
    return {
        "file_name": f"{name}.jsonl",
        "formatting": "sharegpt",  # its "openai" adds "detailed thinking off" to each system prompt
        "columns": {"messages": "messages"} | ({"tools": "tools"} if tools else {}),
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "observation_tag": "tool",
            "function_tag": "function_call",
            "system_tag": "system",
        },
    }


def _documents(rows: Sequence[Row], tools: bool) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row.plain:
            yield {"text": row.turns[0].content}
            continue
        offered = {"tools": json.dumps(row.tools, ensure_ascii=False) if row.tools else ""} if tools else {}
        yield {"messages": list(_messages(row)), **offered}


def _messages(row: Row) -> Iterator[dict[str, Any]]:
    """The turns as LLaMA-Factory takes them: question and answer in turns, so that answers of tools are one message."""
    for role, group in groupby(row.turns, key=lambda turn: turn.role):
        turns = list(group)
        if role == "tool":
            yield {"role": "tool", "content": BETWEEN_TOOLS.join(turn.content for turn in turns)}
        else:
            yield from map(_message, turns)


def _message(turn: Turn) -> dict[str, Any]:
    """It knows reasoning only within the content, and a call's JSON as the whole of it."""
    thought = f"<think>\n{turn.reasoning}\n</think>\n\n" if turn.reasoning else ""
    if not turn.tool_calls:
        return {"role": turn.role, "content": thought + turn.content}
    calls = [_call(call.get("function", call)) for call in turn.tool_calls]
    return {"role": "function_call", "content": thought + json.dumps(calls, ensure_ascii=False)}


def _call(function: Mapping[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments") or {}
    return {
        "name": function.get("name"),
        "arguments": json.loads(arguments) if isinstance(arguments, str) else arguments,
    }


def _lost_texts(rows: Sequence[Row]) -> int:
    """Answers that say something and call a tool: LLaMA-Factory has a place for one of the two."""
    return sum(bool(turn.tool_calls and turn.content.strip()) for row in rows for turn in row.turns)
