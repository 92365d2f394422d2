"""A choice that deserves room: one line for each possibility with what it is and what it would take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget

from finetty.tui.guide import word
from finetty.tui.language import _, mark
from finetty.tui.widgets.field import Answered, Confirmed, as_value, control_id


class Cards(Widget, can_focus=True):
    """Possibilities one below the other: up and down choose, and leave at the ends. `notes` stand at the right."""

    DEFAULT_CSS = """
    Cards { height: auto; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "step(-1)", show=False),
        Binding("down", "step(1)", show=False),
        Binding("enter", "confirm", mark("Next")),
    ]

    def __init__(self, option: str, lines: Mapping[str, str], chosen: str) -> None:
        super().__init__(id=control_id(option))
        self.option, self.lines, self.chosen = option, lines, chosen
        self.notes: Mapping[str, str] = {}

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self.lines)

    def show_notes(self, notes: Mapping[str, str]) -> None:
        if notes != self.notes:
            self.notes = notes
            self.refresh()

    def show(self, chosen: str) -> None:
        if chosen != self.chosen:
            self.chosen = chosen
            self.refresh()

    def action_step(self, by: int) -> None:
        values = list(self.lines)
        place = values.index(self.chosen) + by
        if 0 <= place < len(values):
            self.choose(values[place])
        elif by > 0:
            self.screen.focus_next()
        else:
            self.screen.focus_previous()

    def choose(self, value: str) -> None:
        if value != self.chosen:
            self.show(value)
            self.post_message(Answered(self.option, as_value(value)))

    def action_confirm(self) -> None:
        self.post_message(Confirmed())

    def on_click(self, event: events.Click) -> None:
        values = list(self.lines)
        if event.y < len(values):
            self.choose(values[event.y])

    def render(self) -> Content:
        return Content("\n").join([self._line(value, about) for value, about in self.lines.items()])

    def _line(self, value: str, about: str) -> Content:
        chosen = value == self.chosen
        style = ("bold $text-accent" if self.has_focus else "bold") if chosen else ""
        name = Content.styled(f"{'◉' if chosen else '○'} {_(word(value))}", style)
        name = name.pad_right(max(1, 11 - name.cell_length))
        note = self.notes.get(value, "")
        room = self.size.width - name.cell_length - Content(note).cell_length - 1
        text = Content.styled(_(about), "" if chosen else "$muted").truncate(max(0, room), ellipsis=True, pad=True)
        return Content.assemble(name, text, (f" {note}", "bold" if chosen else "$muted"))
