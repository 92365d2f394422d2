"""What the choice under the cursor means: the guide's explanation, the option's own help, and plan()'s reason."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from finetty.tui.guide import Explanation
from finetty.tui.language import _
from finetty.tui.widgets.prose import Prose


class Meaning(VerticalScroll, can_focus=False):
    """The panel below a step."""

    DEFAULT_CSS = """
    Meaning { height: 8; padding: 0 1; border-top: solid $panel-lighten-2; border-title-color: $text-accent;
              border-title-style: bold; scrollbar-size-vertical: 1; }
    Meaning > Static { width: 1fr; height: auto; }
    """

    titled = ""

    def compose(self) -> ComposeResult:
        yield Prose("", id="meaning")

    def show(self, title: str, parts: list[Content]) -> None:
        if title != self.titled:
            self.titled = title
            self.border_title = Content(title)
        for place in self.query("#meaning").results(Prose):
            if place.say(Content("\n").join(parts)):
                self.scroll_home(animate=False)


def explained(text: Explanation) -> list[Content]:
    """The explanation, its analogy and trade-offs, each with its sign."""
    parts = [Content(_(text.what))]
    if text.like:
        parts.append(Content.assemble((_("Like: "), "bold"), (_(text.like), "italic")))
    if text.good:
        parts.append(Content.assemble(("+ ", "bold $text-success"), _(text.good)))
    if text.bad:
        parts.append(Content.assemble(("− ", "bold $text-warning"), _(text.bad)))
    if text.when:
        parts.append(Content.assemble((_("When: "), "bold"), _(text.when)))
    return parts
