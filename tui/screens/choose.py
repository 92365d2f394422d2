"""A question with a few answers, each with its own key and a line that says what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from finetty.tui.language import _
from finetty.tui.screens import dialogs
from finetty.tui.screens.base import TranslatedDialog


@dataclass(frozen=True)
class Choice:
    """`name` is what the dialog returns, `key` the letter that takes it at once."""

    name: str
    key: str
    label: str
    about: str = ""


class Choose(TranslatedDialog[str | None]):
    """Returns the name of the choice, or None when the person went back with Esc."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+c,ctrl+q", "back", show=False, priority=True)]

    def __init__(self, question: str, about: str, choices: Sequence[Choice]) -> None:
        """The texts are in the language of the screen already."""
        super().__init__()
        self.question, self.about, self.choices = question, about, tuple(choices)
        self.last_key = monotonic()

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_title = Content(self.question)
            if self.about:
                yield Static(self.about, markup=False)
            yield OptionList(*(Option(_line(choice), id=choice.name) for choice in self.choices), compact=True)
            yield Static(_("A letter or Enter chooses, Esc goes back."), classes="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    def on_key(self, event: events.Key) -> None:
        """A key that was on its way when the question came up answers nothing."""
        settled = monotonic() - self.last_key >= dialogs.SETTLED
        self.last_key = monotonic()
        chosen = next((choice.name for choice in self.choices if event.key == choice.key), None)
        if chosen or (event.key == "enter" and not settled):
            event.stop()
            event.prevent_default()
        if chosen and settled:
            self.dismiss(chosen)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_back(self) -> None:
        self.dismiss(None)


def _line(choice: Choice) -> Content:
    key, label = (choice.key, "bold $text-accent"), (choice.label, "bold")
    return Content.assemble(key, "  ", label, "  ", (choice.about, "$foreground-muted"))
