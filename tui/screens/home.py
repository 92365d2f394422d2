"""The first screen: one line on the machine, and the four things a person comes for."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from finetty.tui.actions import bindings
from finetty.tui.language import _, mark
from finetty.tui.screens.base import TranslatedScreen
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finetty.backend.machine.facts import MachineFacts
    from finetty.backend.models.catalogue import Entry
    from finetty.backend.planning.needs import Way
    from finetty.tui.app import FinettyApp

ENTRIES: tuple[tuple[str, str, str], ...] = (
    ("demo", mark("Try the demo"), mark("a small real model learns a new habit in about five minutes")),
    ("new", mark("Tune my data"), mark("choose a model and a file of rows; finetty works out the rest")),
    ("watch", mark("Watch a run"), mark("the runs of this machine, live and past")),
    ("check", mark("Check this machine"), mark("what it has, what it lacks, and what mends it")),
)
"""Action, name and explanation of each entry."""
LINES_AN_ENTRY = 3


class Menu(Widget, can_focus=True):
    """The entries, one highlighted."""

    DEFAULT_CSS = "Menu { height: auto; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("enter", "choose", "Open"),
    ]

    class Chosen(Message):
        def __init__(self, action: str) -> None:
            self.action = action
            super().__init__()

    def __init__(self, at: int = 0) -> None:
        super().__init__(id="menu")
        self.at = at

    def action_move(self, by: int) -> None:
        self.at = (self.at + by) % len(ENTRIES)
        self.refresh()

    def action_choose(self) -> None:
        self.post_message(self.Chosen(ENTRIES[self.at][0]))

    def on_click(self, event: object) -> None:
        line = getattr(event, "y", 0) // LINES_AN_ENTRY
        if line < len(ENTRIES):
            self.at = line
            self.action_choose()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return LINES_AN_ENTRY * len(ENTRIES)

    def render(self) -> Content:
        return Content("\n").join([self._entry(index) for index in range(len(ENTRIES))])

    def _entry(self, index: int) -> Content:
        action, name, about = ENTRIES[index]
        chosen = index == self.at
        sign = Content.styled("▸ " if chosen else "  ", "bold $text-accent")
        shown = Content.styled(_(name), "bold $text-accent" if chosen else "bold")
        first = Content.assemble(sign, shown, (f"  {action[0]}", "$muted"))
        room = max(1, self.size.width)
        second = Content.styled(f"  {_(about)}", "" if chosen else "$muted").truncate(room, ellipsis=True)
        return Content("\n").join([first, second, Content("")])


class Home(TranslatedScreen[None]):
    """What finetty is, what this machine is, and where to go."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("home")
    app: FinettyApp
    machine: MachineFacts | None = None
    largest: Mapping[Way, Entry] | None = None
    at = 0

    def compose(self) -> ComposeResult:
        yield Prose(
            Content.assemble(("finetty", "bold $accent"), "  ", (_("fine-tune in the terminal"), "$muted")), id="title"
        )
        yield Prose(
            _("Teach a language model your own way of answering: guided, predicted, and explained step by step."),
            id="about",
        )
        yield Prose(self._machine_line(), id="machine")
        yield Menu(self.at)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(Menu).focus()
        self.call_after_refresh(self.look_at_the_machine)

    def on_screen_resume(self) -> None:
        if self.machine is not None and self.largest is None:
            self._find_largest(self.machine)

    @work(thread=True, group="machine")
    def look_at_the_machine(self) -> None:
        """Read it anew, with the disk that runs are kept on now."""
        from finetty.backend.machine import machine_facts
        from finetty.backend.runs.directory import wanted_root

        facts = machine_facts(wanted_root())
        self.app.call_from_thread(self._show_machine, facts)

    def _show_machine(self, facts: MachineFacts) -> None:
        self.machine = facts
        self.draw()
        if self.is_current:
            self._find_largest(facts)

    @work(thread=True, exclusive=True, group="largest")
    def _find_largest(self, machine: MachineFacts) -> None:
        from finetty.backend.planning.largest import largest

        self.app.call_from_thread(self._show_largest, largest(machine))

    def _show_largest(self, found: Mapping[Way, Entry]) -> None:
        self.largest = found
        self.draw()

    def fill(self) -> None:
        self.query_one("#machine", Prose).say(self._machine_line())

    def _machine_line(self) -> str:
        if self.machine is None:
            return _("Looking at this machine …")
        from finetty.tui.machine_words import largest_line, machine_line

        fits = largest_line(self.largest) if self.largest is not None else ""
        return "\n".join(line for line in (machine_line(self.machine), fits) if line)

    async def on_menu_chosen(self, event: Menu.Chosen) -> None:
        self.at = self.query_one(Menu).at
        await self.run_action(event.action)

    async def action_demo(self) -> None:
        await self.app.open_demo()

    async def action_new(self) -> None:
        await self.app.open_wizard()

    async def action_set_up(self) -> None:
        await self.app.open_set_up()

    def action_watch(self) -> None:
        from finetty.tui.screens.runs_list import RunsList

        self.app.push_screen(RunsList())

    def action_check(self) -> None:
        from finetty.tui.screens.check import Check

        self.app.push_screen(Check())
