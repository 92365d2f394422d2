"""Language and colours, each seen at once on the screen itself."""

from __future__ import annotations

from typing import cast

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget

from finetty.backend.settings import said_by
from finetty.tui.language import LANGUAGES, _, language, mark
from finetty.tui.screens.setup.steps import Keep, Named, SetUpStep
from finetty.tui.styles.themes import THEMES
from finetty.tui.widgets.field import Answered, Field
from finetty.tui.widgets.prose import Prose

THEME_NAMES = {
    "finetty-dark": mark("dark"),
    "finetty-light": mark("light"),
    "finetty-contrast": mark("high contrast"),
    "finetty-colour-blind": mark("colour-blind safe"),
    "finetty-16": mark("16 colours"),
}


class Look(SetUpStep):
    step = "look"
    titled = mark("Look")

    def compose(self) -> ComposeResult:
        languages = {str(name): shown for name, shown in LANGUAGES.items()}
        themes = {theme.name: _(THEME_NAMES.get(theme.name, theme.name)) for theme in THEMES}
        yield Prose(_("Welcome. Five short steps; each can be skipped, and found again later."), id="welcome")
        yield Field("setup.language", Named("setup.language", languages, language()), named=mark("Language"))
        yield Field("setup.theme", Named("setup.theme", themes, self.app.theme), named=mark("Colours"))
        yield Prose(self._sample(), id="sample")

    def first_control(self) -> Widget | None:
        return self.query_one("#control-setup-language")

    def show(self) -> None:
        for field, variable in zip(self.query(Field), ("FINETTY_LANG", "FINETTY_THEME"), strict=True):
            deciding = said_by(variable)
            field.note(_("{variable} says so at the next start").format(variable=deciding) if deciding else "")

    def about(self) -> tuple[str, list[Content]]:
        focused = getattr(self.screen.focused, "option", "")
        if focused == "setup.theme":
            text = _("Pick what you can read well. “16 colours” takes your terminal's own colours.")
            return _("Colours"), [Content(text), Content(_("Left and right choose, Enter goes on."))]
        text = _("Every text is there in both languages; F2 changes the language on any screen.")
        return _("Language"), [Content(text), Content(_("Left and right choose, Enter goes on."))]

    @on(Answered)
    def _answered(self, event: Answered) -> None:
        event.stop()
        key = "language" if event.option == "setup.language" else "theme"
        self.post_message(Keep(**{key: cast(str, event.value)}))

    def _sample(self) -> Content:
        signs = (
            (_("chosen"), "bold $text-accent"),
            (_("✓ fits"), "$text-success"),
            (_("! tight"), "$text-warning"),
            (_("✗ does not fit"), "$text-error"),
            (_("explained"), "$muted"),
        )
        return Content("   ").join([Content.styled(text, style) for text, style in signs])
