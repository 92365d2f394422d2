"""Dialogs: a question that a deliberate key answers, help on the focused part, a name for a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input

from finetty.backend.messages import Refusal, message
from finetty.backend.recipe import Recipe, dump_recipe
from finetty.tui.actions import PLACES, actions, key_name
from finetty.tui.language import _, translate
from finetty.tui.screens.base import TranslatedDialog
from finetty.tui.widgets.field import Line
from finetty.tui.widgets.prose import Prose

CANNOT_SAVE = message("wizard.cannot_save", "The recipe cannot be written to {path}: {reason}.")

SETTLED = 0.4
"""Seconds without another key after which a yes counts, so that a stream of keys never answers a question."""


class Question(TranslatedDialog[bool]):
    """Yes by `y` and silence after it; no by Esc or `n`; any other key takes a yes back that was not yet counted."""

    def __init__(self, title: str, text: str, yes: str) -> None:
        super().__init__()
        self.titled, self.text, self.yes = title, text, yes
        self.settling: Timer | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Content(self.titled)
            yield Prose(self.text)
            keys = Content.assemble(("y", "bold $text-accent"), f" {self.yes}   ", ("Esc", "bold $text-accent"), " ")
            yield Prose(Content.assemble(keys, _("Not yet")), classes="keys")

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        if self.settling is not None:
            self.settling.stop()
            self.settling = None
        if event.key in {"y", "Y"}:
            self.settling = self.set_timer(SETTLED, self._yes)
        elif event.key in {"escape", "n", "N", "ctrl+c", "ctrl+q"}:
            self.dismiss(False)

    def _yes(self) -> None:
        self.dismiss(True)


class Help(TranslatedDialog[None]):
    """What the focused part is, and the keys of the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,enter,q", "dismiss", show=False)]

    def __init__(self, below: Screen[object], focused: tuple[str, list[Content]]) -> None:
        super().__init__()
        self.below, self.about = below, focused

    def compose(self) -> ComposeResult:
        title, parts = self.about
        with VerticalScroll(classes="dialog") as box:
            box.border_title = Content(title or _("Help"))
            if parts:
                yield Prose(Content("\n").join([*parts, Content("")]))
            yield Prose(Content("\n").join(self._keys()))

    def _keys(self) -> list[Content]:
        known = {binding.binding.action for binding in self.below.active_bindings.values()}
        lines = []
        for place in PLACES:
            for action in actions(place):
                if action.name in known:
                    key = Content.styled(key_name(action.key), "bold $text-accent")
                    lines.append(Content.assemble(key.pad_right(max(1, 6 - key.cell_length)), _(action.help)))
        return lines


class SaveRecipe(TranslatedDialog[Path]):
    """Asks for a file's name and writes the recipe there; dismissed with the path, or with None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", show=False)]

    def __init__(self, recipe: Recipe, name: str) -> None:
        super().__init__()
        self.recipe, self.name_typed, self.overwrite = recipe, name, False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Content(_("Save the recipe"))
            yield Line(self.name_typed, id="recipe-name")
            yield Prose("", id="saying")
            yield Prose(_("Enter saves; Esc leaves it."), classes="keys")

    @on(Input.Changed)
    def _remember(self, event: Input.Changed) -> None:
        self.name_typed, self.overwrite = event.value, False
        self._say("")

    @on(Input.Submitted)
    def _save(self) -> None:
        path = Path(self.name_typed.strip()).expanduser()
        if not path.name:
            self._say(_("A file needs a name."))
            return
        path = path if path.suffix in {".yaml", ".yml"} else path.with_name(path.name + ".yaml")
        if path.exists() and not self.overwrite:
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


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write the recipe whole or not at all. Raises Refusal."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(dump_recipe(recipe), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise Refusal(CANNOT_SAVE(path=path, reason=error.strerror or "?"), path=None) from None
