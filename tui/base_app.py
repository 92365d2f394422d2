"""What every app of finetty has: themes, ASCII, the two languages, help, leaving, and the palette of its actions."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.screen import ModalScreen, Screen

from finetty.backend.messages import Refusal
from finetty.backend.settings import change_settings
from finetty.tui import language
from finetty.tui.actions import bindings
from finetty.tui.language import _, translate
from finetty.tui.styles import STYLES
from finetty.tui.styles.themes import MUTED, THEMES, suitable_theme

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from textual.app import SystemCommand
    from textual.dom import DOMNode
    from textual.driver import Driver
    from textual.filter import LineFilter
    from textual.theme import Theme

    from finetty.tui.actions import Action

Result = TypeVar("Result")


class BaseApp(App[Result]):
    """Subclasses say what is opened, and what leaving means."""

    TITLE = "finetty"
    BINDINGS: ClassVar[list[BindingType]] = bindings("everywhere")
    CSS_PATH = STYLES / "app.tcss"

    def __init__(self, *, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class=driver_class)
        self.animation_level = "none"
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = suitable_theme(os.environ)

    async def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, self._keep_theme)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"muted": MUTED}

    def get_line_filters(self) -> Sequence[LineFilter]:
        from finetty.tui.ascii import with_ascii
        from finetty.tui.no_colour import NoColour

        if not self.no_color:
            return with_ascii(super().get_line_filters())
        # Textual's own way to have no colour is greys.
        return with_ascii([NoColour(Color.parse(self.theme_variables["background"]))])

    def keep(self, **values: Any) -> Refusal | None:
        """Keep settings across starts; the refusal where the disk refuses, though they hold until the end."""
        try:
            change_settings(**values)
        except Refusal as refusal:
            return refusal
        return None

    def _keep_theme(self, theme: Theme) -> None:
        if theme.name != suitable_theme(os.environ) and (refusal := self.keep(theme=theme.name)):
            self.notify(translate(refusal.said), severity="warning", markup=False)

    async def action_language(self) -> None:
        """Every screen again, in the next language."""
        await self.speak(language.other_language())

    async def speak(self, name: language.Language) -> None:
        """Every screen again, in this language."""
        from finetty.tui.screens.base import TranslatedScreen

        language.set_language(name)
        for screen in self.screen_stack:
            if not isinstance(screen, TranslatedScreen):
                continue
            if screen.is_mounted:
                await screen.relabel()
            else:
                screen.call_later(screen.relabel)  # half of it is there: once it is whole

    def action_help(self) -> None:
        """Help on the screen, and with the same key back to it."""
        from finetty.tui.screens.dialogs import Help

        if isinstance(self.screen, Help):
            self.screen.action_close()
        else:
            self.push_screen(Help(self.screen))

    def action_leave(self) -> None:
        """Ctrl+C: a dialog is left as with Esc; without one, the screen."""
        from finetty.tui.screens.base import TranslatedDialog

        screen = self.screen
        if isinstance(screen, TranslatedDialog):
            screen.action_close()
        elif isinstance(screen, ModalScreen):
            screen.dismiss(None)
        else:
            self.leave_screen(screen)

    # mypy holds subclasses to it; Textual's own metaclass leaves no ABC that would when the app runs.
    @abstractmethod
    def leave_screen(self, screen: Screen[Any]) -> None:
        """Ask whether the person wants to go, or go."""

    async def action_quit(self) -> None:
        self.action_leave()

    def action_help_quit(self) -> None:
        self.action_leave()

    def action_command_palette(self) -> None:
        from finetty.tui.widgets.palette import Palette

        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(placeholder=_("Search for an action …"), id="--command-palette"))

    def search_themes(self) -> None:
        from textual.theme import ThemeProvider

        from finetty.tui.widgets.palette import Palette

        self.push_screen(Palette([ThemeProvider], placeholder=_("Search for a theme …")))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The command palette: every action that the focus, the screen or the app can do now, and the themes."""
        from textual.app import SystemCommand

        from finetty.tui.actions import ACTIONS

        focused = screen.focused.ancestors_with_self if screen.focused is not None else [screen, self]
        places = [*focused, *(widget for widget in screen.walk_children() if widget.display)]
        for action in {(one.name, one.help): one for one in ACTIONS}.values():
            target = next((one for one in places if _declares(one, action)), None)
            if target is not None and action.name != "command_palette" and target.check_action(action.name, ()):
                yield SystemCommand(_(action.label), _(action.help), getattr(target, f"action_{action.name}"))
        yield SystemCommand(_("Theme"), _("Change the colours of the screen."), self.action_change_theme)


def _declares(place: DOMNode, action: Action) -> bool:
    """Whether the action is one of this place's own: several places name an action alike."""
    own = {(one.action, one.tooltip) for one in type(place).BINDINGS if isinstance(one, Binding)}
    return (action.name, action.help) in own and hasattr(place, f"action_{action.name}")
