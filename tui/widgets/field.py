"""One option of the recipe as a line of a form: its name, a control made from its declaration, its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input

from finetty.backend.recipe import Option
from finetty.tui.guide import label, word
from finetty.tui.language import _, mark
from finetty.tui.widgets.prose import Prose


class Answered(Message):
    """A person chose `value` for `option`."""

    def __init__(self, option: str, value: Any) -> None:
        self.option, self.value = option, value
        super().__init__()


class AnsweredAll(Message):
    """A person chose what is several options' values at once."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        super().__init__()


class Typed(Message):
    """A person typed `text` for `option`; `index` counts where an option takes several texts."""

    def __init__(self, option: str, text: str, index: int = 0) -> None:
        self.option, self.text, self.index = option, text, index
        super().__init__()


class Confirmed(Message):
    """Enter was pressed in a control: the answer stands."""


def chosen_style(widget: Widget) -> str:
    """Of what is chosen in a widget; where there is no colour the focus is drawn in reverse."""
    if not widget.has_focus:
        return "bold"
    return "bold reverse" if widget.app.no_color else "bold $text-accent"


class Words(Widget, can_focus=True):
    """A few words, one of them chosen, in one line: left and right choose. The chosen one stands in brackets."""

    DEFAULT_CSS = """
    Words { height: 1; width: 1fr; }
    Words:focus { background: $boost; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", show=False),
        Binding("right,space", "step(1)", show=False),
        Binding("enter", "confirm", mark("Next")),
    ]

    def __init__(self, option: str, choices: tuple[str, ...], chosen: str) -> None:
        super().__init__(id=control_id(option))
        self.option, self.choices, self.chosen = option, choices, chosen

    def action_step(self, by: int) -> None:
        index = self.choices.index(self.chosen) if self.chosen in self.choices else 0
        self.choose(self.choices[(index + by) % len(self.choices)])

    def choose(self, value: str) -> None:
        if value != self.chosen:
            self.chosen = value
            self.refresh()
            self.post_message(Answered(self.option, as_value(value)))

    def action_confirm(self) -> None:
        self.post_message(Confirmed())

    def on_click(self, event: events.Click) -> None:
        end = 0
        for value in self.choices:
            end += Content(self.named(value)).cell_length + 2
            if event.x < end:
                self.choose(value)
                return

    def render(self) -> Content:
        line = Content("").join([self._word(value) for value in self.choices])
        if line.cell_length <= self.size.width:
            return line
        place = f" {self.choices.index(self.chosen) + 1}/{len(self.choices)}"
        return Content.assemble(("‹", "$muted"), self._word(self.chosen), ("›", "$muted"), (place, "dim"))

    def named(self, value: str) -> str:
        """What a person reads for this value."""
        return _(word(value))

    def _word(self, value: str) -> Content:
        text = self.named(value)
        if value != self.chosen:
            return Content.styled(f" {text} ", "$muted")
        return Content.styled(f"[{text}]", chosen_style(self))


class Line(Input):
    """A line of text in one row; its cursor never blinks, since every blink is a packet over SSH."""

    def __init__(
        self,
        text: str = "",
        *,
        hint: str = "",
        select_on_focus: bool = False,
        suggester: Suggester | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(
            text, placeholder=hint, compact=True, select_on_focus=select_on_focus, suggester=suggester, id=id
        )
        self.cursor_blink = False


class Entry(Line):
    """A line of text for an option."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "submit", mark("Next"))]

    DEFAULT_CSS = """
    Entry { width: 1fr; }
    Entry.-textual-compact { background: $surface; }
    Entry.-textual-compact:focus { background: $boost; }
    """

    def __init__(
        self, option: str, text: str, *, index: int = 0, hint: str = "", suggester: Suggester | None = None
    ) -> None:
        super().__init__(
            text, hint=hint, select_on_focus=suggester is None, suggester=suggester, id=control_id(option, index)
        )
        self.option, self.index = option, index
        self.typed = text

    def on_mount(self) -> None:
        self.call_after_refresh(self._show_end)

    def _show_end(self) -> None:
        """Of a path that is longer than the field its end is shown: it names the thing, its beginning a place."""
        end = Region(max(0, Content(self.value).cell_length - 1), 0, 2, 1)
        self.scroll_to_region(end, force=True, animate=False)

    @on(Input.Changed)
    def _say_what_was_typed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value != self.typed:
            self.typed = event.value
            self.post_message(Typed(self.option, event.value, self.index))

    @on(Input.Submitted)
    def _say_enter(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(Confirmed())

    def put(self, text: str) -> None:
        """Show another text, as an answer that was given elsewhere."""
        if text != self.value:
            self.typed = text
            self.value = text
            self.cursor_position = len(text)


class Field(Horizontal):
    """Name, control and note of one option."""

    DEFAULT_CSS = """
    Field { height: 1; width: 1fr; }
    Field > .name { width: 14; color: $muted; }
    Field:focus-within > .name { color: $text-accent; text-style: bold; }
    Field > .note { width: auto; max-width: 50%; padding: 0 0 0 1; color: $muted; }
    Field > .note.-fault { color: $text-error; }
    """

    def __init__(self, option: str, control: Words | Entry, *, named: str | None = None) -> None:
        super().__init__(classes="field")
        self.option, self.control = option, control
        self.named = label(option) if named is None else named
        self._note = Prose("", classes="note")

    def compose(self) -> ComposeResult:
        yield Prose(_(self.named), classes="name")
        yield self.control
        yield self._note

    def note(self, text: str, *, fault: bool = False) -> None:
        """What plan() made of it, or what is wrong with it."""
        self._note.say(text)
        self._note.set_class(fault, "-fault")

    def show(self, text: str) -> None:
        """Take over an answer that was given elsewhere; what has the focus is being typed and stays."""
        if isinstance(self.control, Words):
            if text != self.control.chosen:
                self.control.chosen = text
                self.control.refresh()
        elif not self.control.has_focus:
            self.control.put(text)


def field_for(option: Option, text: str) -> Field:
    """The form's line for an option, made from its declaration: words to choose from, or a text to type."""
    words = option.choices + (("true", "false") if option.boolean else ())
    if option.only_choices or (option.boolean and set(option.choices) <= {"auto"}):
        return Field(option.name, Words(option.name, words, text))
    entry = Entry(option.name, text, hint=" ".join(words))
    expected = option.expected.text
    entry.set_class("number" in expected and "text" not in expected, "-short")
    return Field(option.name, entry)


def control_id(option: str, index: int = 0) -> str:
    return "control-" + option.replace(".", "-") + (f"-{index}" if index else "")


def as_value(text: str) -> Any:
    """A chosen word as the recipe keeps it."""
    return {"true": True, "false": False}.get(text, text)
