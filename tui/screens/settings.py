"""The drawer of all settings: every option of a recipe as a field that is made from its declaration."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Input

from finetty.backend.recipe import options
from finetty.tui.actions import bindings
from finetty.tui.guide import SECTIONS, label
from finetty.tui.language import _
from finetty.tui.screens.about import About
from finetty.tui.screens.base import BREADTHS, HEIGHTS
from finetty.tui.screens.guided import GuidedScreen
from finetty.tui.screens.steps import show_field
from finetty.tui.widgets.field import Answered, Confirmed, Field, Line, Typed, control_id, field_for
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.meaning import Meaning
from finetty.tui.widgets.outlook import Outlook
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.tui.screens.wizard import Wizard


class Settings(GuidedScreen[None]):
    """Fields by section, a filter above them; changes reach the draft as they are made."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("settings"),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]
    CSS_PATH = "../styles/wizard.tcss"
    HORIZONTAL_BREAKPOINTS = BREADTHS
    VERTICAL_BREAKPOINTS = HEIGHTS

    def __init__(self, wizard: Wizard, option: str | None = None) -> None:
        super().__init__()
        self.wizard, self.option = wizard, option
        self.filtered = ""

    def action_make_fit(self) -> None:
        self.wizard.action_make_fit()

    def action_compare(self) -> None:
        self.wizard.action_compare()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.wizard.check_action(action, parameters)

    def compose(self) -> ComposeResult:
        yield Prose(
            Content.assemble((_("Settings"), "bold $accent"), "  ", (_("every option of the run"), "$muted")),
            id="settings-title",
        )
        yield Line(self.filtered, hint=_("type to filter"), id="filter")
        with Horizontal(id="body"):
            with VerticalScroll(id="settings", can_focus=False):
                for section, names in groupby(options(), key=lambda name: name.split(".")[0]):
                    yield Prose(_(SECTIONS[section]), classes="heading")
                    for name in names:
                        yield field_for(options()[name], self.wizard.state.draft.text(name))
            yield Outlook()
        yield Meaning()
        yield KeyBar()

    async def on_mount(self) -> None:
        await self.redrawn()
        control = self.query(f"#{control_id(self.option)}") if self.option else self.query("#filter")
        if control:
            control.first().focus()

    async def redrawn(self) -> None:
        self._filter(self.filtered)
        self.draw()

    def fill(self) -> None:
        """Take over what plan() has made of the answers."""
        state = self.wizard.state
        for field in self.query(Field):
            show_field(field, state)
        self.query_one(Outlook).show(state.plan, state.findings, reading=state.reading, kept=state.kept is not None)
        self.explain()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self._filter(event.value)

    def _filter(self, text: str) -> None:
        self.filtered = text
        wanted = text.strip().lower()
        for field in self.query(Field):
            field.display = not wanted or wanted in f"{field.option} {_(label(field.option))}".lower()
        for heading in self.query(".heading"):
            heading.display = not wanted

    @on(Answered)
    def _answered(self, event: Answered) -> None:
        self.wizard.take(event.option, event.value)

    @on(Typed)
    def _typed(self, event: Typed) -> None:
        self.wizard.take_text(event.option, event.text)

    @on(Confirmed)
    def _confirmed(self) -> None:
        self.focus_next()

    def explain(self) -> None:
        self.query_one(Meaning).show(self._about_focused())

    def help_on_focus(self) -> tuple[str, list[Content]]:
        about = self._about_focused()
        return about.title, about.parts

    def _about_focused(self) -> About:
        option = getattr(self.focused, "option", None)
        if option is None:
            return About(_("Settings"), [Content(_("Whatever says auto is chosen for you, with a reason."))])
        return self.wizard.about(option)

    def action_close(self) -> None:
        self.dismiss()
