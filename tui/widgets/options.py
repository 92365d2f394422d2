"""A list of options, for keys that are quicker than the screen."""

from __future__ import annotations

from typing import Literal

from textual.widgets import OptionList


class Options(OptionList):
    """Textual's own ends the app at a page key that comes before its lines are laid out (KeyError, 8.2.8)."""

    def _move_page(self, direction: Literal[-1, 1]) -> None:
        if is_laid_out(self):
            super()._move_page(direction)


def is_laid_out(options: OptionList) -> bool:
    """Whether the list knows the line of what is highlighted."""
    return (options.highlighted or 0) in options._index_to_line
