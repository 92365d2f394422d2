"""Every screen in ASCII: the signs and borders that finetty draws, each as one character that any terminal has."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from finetty.tui.text import ascii_only

SIGNS = {
    "✓": "+", "✗": "x", "▸": ">", "▶": ">", "·": "-", "•": "*", "…": ".", "≈": "~", "−": "-", "×": "x", "°": "o",
    "↵": "<", "←": "<", "→": ">", "↑": "^", "↓": "v", "‹": "<", "›": ">", "“": '"', "”": '"', "‘": "'", "’": "'",
    "–": "-", "—": "-", "─": "-", "━": "=", "│": "|", "┃": "|", "▎": "|", "▊": "|", "▌": "|", "▐": "|", "█": "#",
    "▓": "%", "▒": "=", "░": ":", "▮": "#", "▯": "-", "▁": "_", "▔": "-", "▀": "-", "▄": "_", "£": "L", "🔎": "> ",
}  # fmt: skip


class _Table(dict[int, str]):
    """A sign that is not known is a plus in a drawing, a hash as a block and else a question mark; letters stay."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        drawn = code > 0x7F and unicodedata.category(character)[0] in "SP"
        if not drawn or unicodedata.east_asian_width(character) in "WF":
            self[code] = character
        else:
            self[code] = "+" if 0x2500 <= code < 0x2580 else "#" if 0x2580 <= code < 0x25A0 else "?"
        return self[code]


_TABLE = _Table({ord(sign): plain for sign, plain in SIGNS.items()})


class AsciiOnly(LineFilter):
    """Works on what is drawn, cell by cell, so that no width changes."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(text.translate(_TABLE), style, control) for text, style, control in segments]


_FILTER = AsciiOnly()


def with_ascii(filters: Sequence[LineFilter]) -> Sequence[LineFilter]:
    """An app's filters, with this one where only ASCII is wanted."""
    return [*filters, _FILTER] if ascii_only() else filters
