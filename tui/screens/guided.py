"""A screen that explains what has the focus, and whose steps take one another's place."""

from __future__ import annotations

from abc import abstractmethod

from textual import events, on
from textual.widget import Widget
from textual.widgets import OptionList

from finetty.tui.screens.base import Result, TranslatedScreen


class GuidedScreen(TranslatedScreen[Result]):
    """Of the wizard, its settings and the set-up."""

    # mypy holds subclasses to it; Textual's own metaclass leaves no ABC that would when the app runs.
    @abstractmethod
    def explain(self) -> None:
        """Say in the panel below what has the focus."""

    @on(events.DescendantFocus)
    @on(OptionList.OptionHighlighted)
    def _focus_moved(self) -> None:
        if self.complete:
            self.explain()

    async def put(self, step: Widget) -> bool:
        """Show a step in `#place` instead of the one before; False where the screen goes meanwhile."""
        if self.going:
            return False
        place = self.query_one("#place")
        await place.remove_children()
        await place.mount(step)
        return not self.going
