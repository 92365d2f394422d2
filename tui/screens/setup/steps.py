"""What the steps of the guided set-up have in common: they draw from the state and say what a person wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets.option_list import Option

from finetty.tui.language import _, mark
from finetty.tui.screens.setup.state import SetUpState
from finetty.tui.widgets.field import Words
from finetty.tui.widgets.options import Options

if TYPE_CHECKING:
    from finetty.backend.machine.mending import Lack


class Onward(Message):
    """This step is done: the next one, please."""


class Keep(Message):
    """Settings that were chosen."""

    def __init__(self, **values: Any) -> None:
        self.values = values
        super().__init__()


class Mend(Message):
    """A person asks for what is lacking."""

    def __init__(self, lack: Lack) -> None:
        self.lack = lack
        super().__init__()


class LookAtFolder(Message):
    """A folder was named that things could live in."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__()


class Knock(Message):
    """Ask the sites whether they answer."""


class KeepToken(Message):
    """A token was typed: check it and keep it."""


class End(Message):
    """The set-up is over: the first screen, the demo or a new run follows."""

    def __init__(self, ending: str) -> None:
        self.ending = ending
        super().__init__()


class SetUpStep(Vertical):
    """One step. It never keeps an answer: a change of language makes it anew."""

    step: ClassVar[str]
    titled: ClassVar[str]
    DEFAULT_CSS = "SetUpStep { height: 1fr; padding: 0 1; }"

    def __init__(self, state: SetUpState) -> None:
        super().__init__(id=f"setup-{self.step}")
        self.state = state

    def show(self) -> None:
        """Draw what the state says."""

    def first_control(self) -> Widget | None:
        """Where the focus begins."""
        return None

    def about(self) -> tuple[str, list[Content]]:
        """Title and explanation of what has the focus."""
        return _(self.titled), []


class Choices(Options):
    """A list of choices by name; drawn again, the same one stays highlighted."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select", mark("Take"))]
    DEFAULT_CSS = """
    Choices { height: auto; max-height: 1fr; background: $background; border: none; padding: 0;
              scrollbar-size-vertical: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    Choices:focus { border: none; }
    Choices > .option-list--option-highlighted { background: $surface; text-style: bold; }
    Choices:focus > .option-list--option-highlighted { background: $primary 40%; }
    """

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id, markup=False, compact=True)
        self.lines: tuple[tuple[str, Content], ...] = ()

    def action_cursor_up(self) -> None:
        """Beyond the first line is the control before."""
        if self.highlighted:
            super().action_cursor_up()
        else:
            self.screen.focus_previous()

    def action_cursor_down(self) -> None:
        """Beyond the last line is the next control."""
        if self.highlighted is not None and self.highlighted + 1 < self.option_count:
            super().action_cursor_down()
        else:
            self.screen.focus_next()

    @property
    def chosen(self) -> str | None:
        """The name of the highlighted line."""
        option = self.highlighted_option
        return option.id if option is not None else None

    def put(self, lines: Sequence[tuple[str, Content]], at: str | None = None) -> None:
        """Show these lines, the highlight at the name `at`, else where it was, else on the first."""
        wanted = at or self.chosen
        if tuple(lines) != self.lines:
            self.lines = tuple(lines)
            self.clear_options()
            self.add_options([Option(shown, id=name) for name, shown in lines])
        names = [name for name, _shown in lines]
        self.highlighted = names.index(wanted) if wanted in names else 0 if names else None


class Named(Words):
    """Words to choose from that have names of their own."""

    def __init__(self, option: str, names: dict[str, str], chosen: str) -> None:
        """`names`: what each value is called, in the language of the screen."""
        super().__init__(option, tuple(names), chosen)
        self.names = names

    def named(self, value: str) -> str:
        return self.names[value]
