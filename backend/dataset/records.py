"""A record: what a file of any kind gives, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finetty.backend.messages import Message, message

EMPTY = message("dataset.empty", "The file is empty.")
ADD_ROWS = message("dataset.add_rows", "A row is a JSON object, one on each line, or in one JSON list.")


@dataclass(frozen=True)
class Record:
    """One value of a file and the line, 1-based, on which it begins; where a file has no lines, its number."""

    value: Any
    line: int
    problem: Message | None = None
    """Why there is no value that could be used."""


def shown(text: str, most: int = 40) -> str:
    """A text from a file as it may stand in a sentence: short, and without characters that are not seen."""
    plain = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text[: most + 1])
    return plain if len(plain) <= most else plain[: most - 1] + "…"
