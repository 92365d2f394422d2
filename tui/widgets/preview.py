"""A row as the model reads it: what is learned stands between « and », special tokens and whitespace can be seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from textual.content import Content

from finetty.tui.text import visible

if TYPE_CHECKING:
    from finetty.backend.conversation import Encoded

LONGEST_SHOWN = 6_000
"""Tokens of one row that are drawn; a book in one row shall not hold up the screen."""


@dataclass(frozen=True)
class Piece:
    """One token's text, whether it is learned, and whether it is one of the tokenizer's own marks."""

    text: str
    trained: bool
    special: bool = False


def pieces(encoded: Encoded, is_special: Callable[[int], bool]) -> list[Piece]:
    tokens = zip(encoded.ids, encoded.pieces, encoded.trained, strict=True)
    return [Piece(text, trained, is_special(token)) for token, text, trained in tokens]


def drawn(row: Iterable[Piece]) -> Content:
    """The row as styled text. « opens what is learned and » closes it; ↵ is a newline, · a space, → a tab."""
    parts: list[Content] = []
    for trained, run in groupby(row, key=lambda piece: piece.trained):
        body = list(_drawn_run(run, trained=trained))
        if trained:
            sign = "bold $text-success"
            body = [Content.styled("«", sign), *body, Content.styled("»", sign)]
        parts += body
    return Content("").join(parts)


def drawn_piece(piece: Piece) -> Content:
    """One token on one line, whatever is in it."""
    return Content("").join(_drawn_run([piece], trained=piece.trained)).split("\n")[0]


def _drawn_run(run: Iterable[Piece], *, trained: bool) -> Iterator[Content]:
    for piece in run:
        if piece.special:
            yield Content.styled(visible(piece.text), "bold $text-accent" + (" underline" if trained else ""))
        else:
            yield from _with_whitespace(piece.text, "$text-success underline" if trained else "$foreground")


def _with_whitespace(text: str, style: str) -> Iterator[Content]:
    for part in re.split(r"([ \t\n\u00a0\u3000])", visible(text)):
        if part == "\n":
            yield Content.assemble(("↵", "$muted"), "\n")
        elif part in {" ", "\t", "\u00a0", "\u3000"}:
            yield Content.styled({" ": "·", "\t": "→   ", "\u00a0": "⍽", "\u3000": "□ "}[part], "$muted")
        elif part:
            yield Content.styled(part, style)
