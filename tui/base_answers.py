"""What the base model answers to rows before it is trained, beside the answers that are wanted: which, and in plain."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from finetty.tui.command import print_json
from finetty.tui.ending import indented
from finetty.tui.language import _
from finetty.tui.text import visible

if TYPE_CHECKING:
    from finetty.backend.conversation import Row
    from finetty.backend.planning.plan import Plan

ROWS = 3
LONGEST = 160
"""Tokens of an answer."""


def rows_from(count: int, at: int) -> list[int]:
    """Three rows' places from one on, beginning anew behind the last; fewer where there are no three."""
    return [(at + step) % count for step in range(min(ROWS, count))]


def question(row: Row) -> str:
    """What the row asks last; of a plain text its beginning."""
    return row.asked[-1].content


def print_answers(plan: Plan, rows: Sequence[Row], number: int, document: dict[str, Any] | None) -> None:
    """Three rows from the 1-based `number` on, each answer as it is written; or one JSON document with all of them.

    Raises Refusal.
    """
    from finetty.backend.results.base_alone import BaseAlone

    print(_("Loading the model…"), file=sys.stderr)
    base = BaseAlone(plan)
    answered = []
    for place in rows_from(len(rows), number - 1):
        row = rows[place]
        pieces = base.answer(row.asked, tools=row.tools, longest=LONGEST)
        if document is not None:
            said = {"row": place + 1, "asked": question(row), "wanted": row.wanted, "base": "".join(pieces)}
            answered.append(said)
            continue
        print(_("row {row}").format(row=place + 1))
        print(_("asked:  {text}").format(text=visible(indented(question(row)))))
        print(_("wanted: {text}").format(text=visible(indented(row.wanted))))
        print(_("base:   {text}").format(text=""), end="", flush=True)
        for piece in pieces:
            print(visible(piece).replace("\n", "\n        "), end="", flush=True)
        print("\n")
    if document is not None:
        print_json({**document, "answers": answered})
