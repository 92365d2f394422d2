"""The command palette, for keys that are quicker than the screen."""

from __future__ import annotations

from textual.command import CommandPalette
from textual.widgets import OptionList


class Palette(CommandPalette):
    """Its list is Textual's own, which a page key ends before its lines are laid out: see Options."""

    def _action_command_list(self, action: str) -> None:
        if self.query_one(OptionList).size:
            super()._action_command_list(action)
