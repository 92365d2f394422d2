"""What this machine has, what it lacks, and the command that mends each."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from finetty.tui.actions import bindings
from finetty.tui.language import _
from finetty.tui.machine_words import machine_details
from finetty.tui.screens.base import TranslatedScreen
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.machine.facts import MachineFacts


class Check(TranslatedScreen[None]):
    """The machine's facts, read anew each time the screen opens."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("check")

    def __init__(self) -> None:
        super().__init__()
        self.machine: MachineFacts | None = None

    def compose(self) -> ComposeResult:
        yield Prose(Content.styled(_("This machine"), "bold $accent"), id="title")
        with VerticalScroll(id="details"):
            yield Prose(self._details())
        yield KeyBar()

    def on_mount(self) -> None:
        self._look()

    @work(thread=True, exclusive=True)
    def _look(self) -> None:
        from finetty.backend.machine import machine_facts
        from finetty.backend.runs.directory import wanted_root

        self.app.call_from_thread(self._show, machine_facts(wanted_root()))

    def _show(self, machine: MachineFacts) -> None:
        self.machine = machine
        self.draw()

    def fill(self) -> None:
        self.query_one("#details Static", Prose).say(self._details())

    def _details(self) -> Content:
        if self.machine is None:
            return Content(_("Looking at this machine …"))
        return Content("\n").join(machine_details(self.machine))

    def help_on_focus(self) -> tuple[str, list[Content]]:
        return _("This machine"), [Content(_("What can be used has a ✓; what cannot says why, and what mends it."))]

    def action_look_again(self) -> None:
        self._look()

    def action_leave_check(self) -> None:
        self.dismiss()
