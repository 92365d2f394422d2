"""A run's tags in one line, to be changed."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from finetty.backend.messages import Refusal
from finetty.backend.runs import Run
from finetty.backend.runs.labels import labels_of, tag
from finetty.tui.actions import dialog_bindings
from finetty.tui.errors import sentence
from finetty.tui.language import _
from finetty.tui.screens.base import TranslatedDialog
from finetty.tui.widgets.field import Line
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.prose import Prose


class EditTags(TranslatedDialog[bool]):
    """Dismissed with True once the tags are what the line says."""

    BINDINGS: ClassVar[list[BindingType]] = dialog_bindings("tags")

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run, self.typed = run, " ".join(labels_of(run).tags)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Content(_("Tags of {run}").format(run=self.run.id))
            yield Line(self.typed, id="run-tags")
            yield Prose("", id="saying")
            yield Prose(_("Words with a space between them."), classes="keys")
        yield KeyBar()

    @on(Input.Changed)
    def _remember(self, event: Input.Changed) -> None:
        self.typed = event.value
        self.query_one("#saying", Prose).say("")

    def action_save(self) -> None:
        wanted = [word.lstrip("#") for word in self.typed.split()]
        try:
            tag(self.run, add=wanted, remove=set(labels_of(self.run).tags) - set(wanted))
        except Refusal as refusal:
            self.query_one("#saying", Prose).say(sentence(refusal))
        else:
            self.dismiss(True)
