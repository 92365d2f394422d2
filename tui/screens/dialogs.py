"""Dialogs: a question that a deliberate key answers, help on the focused part, a name for a recipe."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input

from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe, save_recipe
from finetty.backend.recipe.files import with_home
from finetty.tui.actions import PLACES, actions, dialog_bindings, key_name
from finetty.tui.language import _, translate
from finetty.tui.screens.base import TranslatedDialog
from finetty.tui.widgets.field import Line
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.prose import Prose

SETTLED = 0.4
"""Seconds without another key after which a yes counts, so that a stream of keys never answers a question."""


class Question(TranslatedDialog[bool]):
    """Yes by `y` and silence after it; no by Esc or `n`; any other key takes a yes back that was not yet counted."""

    BINDINGS: ClassVar[list[BindingType]] = dialog_bindings("question")

    def __init__(self, says: Callable[[], tuple[str, str, str]]) -> None:
        """`says`: the question, what a yes brings, and the word for a yes, in the language of the moment."""
        super().__init__()
        self.says = says
        self.settling: Timer | None = None

    def compose(self) -> ComposeResult:
        title, text, yes = self.says()
        with Vertical(classes="dialog") as box:
            box.border_title = Content(title)
            yield Prose(text)
            keys = Content.assemble(("y", "bold $text-accent"), f" {yes}   ", ("Esc", "bold $text-accent"), " ")
            yield Prose(Content.assemble(keys, _("Not yet")), classes="keys")
        yield KeyBar()

    def on_key(self) -> None:
        """Before the key does what it is bound to."""
        if self.settling is not None:
            self.settling.stop()
            self.settling = None

    def action_agree(self) -> None:
        self.settling = self.set_timer(SETTLED, self._yes)

    def _yes(self) -> None:
        self.dismiss(True)


class Help(TranslatedDialog[None]):
    """What the focused part is, and the keys of the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = dialog_bindings("help")

    def __init__(self, below: Screen[Any]) -> None:
        super().__init__()
        self.below = below

    def compose(self) -> ComposeResult:
        explain = getattr(self.below, "help_on_focus", None)
        title, parts = explain() if explain is not None else ("", [])
        with VerticalScroll(classes="dialog") as box:
            box.border_title = Content(title or _("Help"))
            if parts:
                yield Prose(Content("\n").join([*parts, Content("")]))
            yield Prose(Content("\n").join(self._keys()))
        yield KeyBar()

    def _keys(self) -> list[Content]:
        active = (one.binding for one in self.below.active_bindings.values())
        known = {(one.action.removeprefix("app."), one.tooltip) for one in active}
        lines = []
        for place in PLACES:
            for action in actions(place):
                # Two screens may have the same action by other keys; it is said once.
                if (action.name, action.help) in known:
                    known.remove((action.name, action.help))
                    key = Content.styled(key_name(action.key), "bold $text-accent")
                    lines.append(Content.assemble(key.pad_right(max(1, 6 - key.cell_length)), _(action.help)))
        return lines


class SaveRecipe(TranslatedDialog[Path]):
    """Asks for a file's name and writes the recipe there; dismissed with the path, or with None."""

    BINDINGS: ClassVar[list[BindingType]] = dialog_bindings("save")

    def __init__(self, recipe: Recipe, name: str) -> None:
        super().__init__()
        self.recipe, self.name_typed, self.overwrite = recipe, name, False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Content(_("Save the recipe"))
            yield Line(self.name_typed, id="recipe-name")
            yield Prose("", id="saying")
        yield KeyBar()

    @on(Input.Changed)
    def _remember(self, event: Input.Changed) -> None:
        self.name_typed, self.overwrite = event.value, False
        self._say("")

    def action_save(self) -> None:
        path = with_home(self.name_typed.strip())
        if not path.name:
            self._say(_("A file needs a name."))
            return
        path = path if path.suffix in {".yaml", ".yml"} else path.with_name(path.name + ".yaml")
        if os.path.lexists(path) and not self.overwrite:
            self.overwrite = True
            self._say(_("{name} is there already; Enter again replaces it.").format(name=path.name))
            return
        try:
            save_recipe(self.recipe, path)
        except Refusal as refusal:
            self._say(translate(refusal.said))
        else:
            self.dismiss(path)

    def _say(self, text: str) -> None:
        self.query_one("#saying", Prose).say(text)
