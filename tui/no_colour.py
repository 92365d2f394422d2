"""Every screen without a colour, where NO_COLOR asks for that: what stood out by its background is drawn in reverse."""

from __future__ import annotations

from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

STANDS_OUT = 0.12
"""From this difference in brightness to the screen on, of 0 for black to 1 for white: above that of a panel, below that
of a selection."""


class NoColour(LineFilter):
    """Takes the colours of what is drawn; bold, dim and underlined stay."""

    def __init__(self, screen: Color) -> None:
        """`screen`: the theme's background."""
        super().__init__()
        self.screen = screen

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(text, style and _plain(style, self.screen), control) for text, style, control in segments]


@lru_cache(4096)
def _plain(style: Style, screen: Color) -> Style:
    behind = style.color if style.reverse else style.bgcolor
    stands_out = (
        behind is not None
        and not behind.is_default
        and abs(Color.from_rich_color(behind).brightness - screen.brightness) >= STANDS_OUT
    )
    return style.without_color + Style(reverse=stands_out)
