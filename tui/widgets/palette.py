"""The command palette, for keys that are quicker than the screen."""

from __future__ import annotations

from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.widgets import OptionList
from textual.worker import Worker

from finetty.tui.widgets.options import is_laid_out


class Palette(CommandPalette):
    """Textual's own ends the app at a page key before its list is laid out (see Options), and when what was typed is
    looked up, or the palette left again, after it was left (NoMatches, ScreenStackError, 8.2.8)."""

    def dismiss(self, result: None = None) -> AwaitComplete:
        self._cancel_gather_commands()
        return super().dismiss(result) if self.is_active else AwaitComplete()

    def _gather_commands(self, search_value: str) -> Worker[None] | None:  # type: ignore[override]
        return super()._gather_commands(search_value) if self.is_current else None

    def _action_command_list(self, action: str) -> None:
        if is_laid_out(self.query_one(OptionList)):
            super()._action_command_list(action)
