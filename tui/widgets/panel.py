"""A part of the dashboard that takes the keys, and scrolls where it is longer than its room."""

from __future__ import annotations

from textual.containers import VerticalScroll


class Panel(VerticalScroll, can_focus=True):
    """Who has the focus is told by the panel's title, not by a style: Textual would work out all styles in it anew."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name, classes="panel")

    def watch_has_focus(self, _has_focus: bool) -> None:
        """No style of it goes by the focus."""
