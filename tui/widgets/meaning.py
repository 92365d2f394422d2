"""The panel below a step: what the choice under the cursor means, and what finetty recommends here and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.tui.screens.about import About


class Meaning(VerticalScroll, can_focus=False):
    """The advice above the explanation; beside it where the screen is wide."""

    DEFAULT_CSS = """
    Meaning { height: 8; padding: 0 1; border-top: solid $panel-lighten-2; border-title-color: $text-accent;
              border-title-style: bold; scrollbar-size-vertical: 1; }
    Meaning > Static { width: 1fr; height: auto; }
    """

    titled = ""

    def compose(self) -> ComposeResult:
        yield Prose("", id="advice")
        yield Prose("", id="meaning")

    def show(self, about: About) -> None:
        if about.title != self.titled:
            self.titled = about.title
            self.border_title = Content(about.title)
        said = [("#advice", about.advice), ("#meaning", about.meaning)]
        changed = [self._say(place, parts) for place, parts in said]
        if any(changed):
            self.scroll_home(animate=False)

    def _say(self, place: str, parts: list[Content]) -> bool:
        places = self.query(place).results(Prose)
        text = Content("\n").join(parts)
        for prose in places:
            prose.display = bool(parts)
            return prose.say(text)
        return False
