"""A question with a few answers, each with its own key and a line that says what it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

from finetty.tui.actions import dialog_bindings
from finetty.tui.language import _
from finetty.tui.screens import dialogs
from finetty.tui.screens.base import TranslatedDialog
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.options import Options


@dataclass(frozen=True)
class Choice:
    """`name` is what the dialog returns, `key` the letter that takes it at once."""

    name: str
    key: str
    label: str
    about: str = ""


Asked = tuple[str, str, Sequence[Choice]]
"""The question, what to know for it, and the choices, in the language of the moment."""


class Listed(Options, inherit_bindings=False):
    """Enter is the dialog's alone: the list would take a choice at one that came in passing, as from a help above."""

    BINDINGS: ClassVar[list[BindingType]] = [
        one for one in OptionList.BINDINGS if isinstance(one, Binding) and one.key != "enter"
    ]


class Choose(TranslatedDialog[str | None]):
    """Returns the name of the choice, or None when the person went back with Esc."""

    BINDINGS: ClassVar[list[BindingType]] = dialog_bindings("choose")
    uninvited = False
    """Whether it comes up by itself: then a letter only marks its choice, and Enter takes it."""

    def __init__(self, says: Callable[[], Asked]) -> None:
        super().__init__()
        self.says = says
        self.choices: Sequence[Choice] = ()
        self.last_key = monotonic()

    def compose(self) -> ComposeResult:
        question, about, self.choices = self.says()
        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_title = Content(question)
            if about:
                yield Static(about, markup=False)
            yield Listed(*(Option(_line(choice), id=choice.name) for choice in self.choices), compact=True)
            yield Static(self.keys(), classes="keys", markup=False)
        yield KeyBar()

    def keys(self) -> str:
        return _("A letter or Enter chooses, Esc goes back.")

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        if self.uninvited:
            self.query_one(OptionList).highlighted = None

    async def relabel(self) -> None:
        highlighted = self.query_one(OptionList).highlighted
        await super().relabel()
        self.query_one(OptionList).focus()
        self.query_one(OptionList).highlighted = highlighted

    def on_key(self, event: events.Key) -> None:
        settled = self._settled()
        chosen = next((choice.name for choice in self.choices if event.key == choice.key), None)
        if chosen is None:
            return
        event.stop()
        event.prevent_default()
        if self.uninvited:
            listed = self.query_one(OptionList)
            listed.highlighted = listed.get_option_index(chosen)
        elif settled:
            self.dismiss(chosen)

    def action_take_choice(self) -> None:
        if self._settled():
            self.query_one(OptionList).action_select()

    def _settled(self) -> bool:
        """Whether the key before is long ago: one that was on its way when the question came up answers nothing."""
        before, self.last_key = self.last_key, monotonic()
        return self.last_key - before >= dialogs.SETTLED

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)


def _line(choice: Choice) -> Content:
    key, label = (choice.key, "bold $text-accent"), (choice.label, "bold")
    return Content.assemble(key, "  ", label, "  ", (choice.about, "$foreground-muted"))
