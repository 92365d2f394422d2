"""Load a recipe or a list of prompts: a path that completes itself, the files of its folder, faults said."""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList
from textual.worker import get_current_worker

from finetty.backend.messages import Refusal
from finetty.backend.recipe.files import Salvaged, salvage_recipe, with_home
from finetty.tui.actions import dialog_bindings
from finetty.tui.errors import said
from finetty.tui.language import _
from finetty.tui.screens.base import TranslatedDialog
from finetty.tui.text import visible
from finetty.tui.widgets.field import Line
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.options import Options
from finetty.tui.widgets.paths import PathSuggester, entries_of, is_prompts, is_recipe
from finetty.tui.widgets.prose import Prose

MOST_SHOWN = 100

Found = TypeVar("Found")


class LoadFile(TranslatedDialog[Found]):
    """Dismissed with what the chosen file holds, or with None. A file that is refused says why."""

    BINDINGS: ClassVar[list[BindingType]] = dialog_bindings("load")
    names: tuple[str, ...] = ()

    class Listed(Message):
        """The folders and files that what is typed can become."""

        def __init__(self, typed: str, names: tuple[str, ...]) -> None:
            self.typed, self.names = typed, names
            super().__init__()

    class Read(Message):
        """What the file at the path that was typed holds, or why it is none."""

        def __init__(self, typed: str, found: Any) -> None:
            self.typed, self.found = typed, found
            super().__init__()

    def __init__(self) -> None:
        super().__init__()
        self.typed = ""

    @abstractmethod
    def titled(self) -> tuple[str, str]:
        """The dialog's title, and what stands in the empty line."""

    @abstractmethod
    def wanted(self, entry: os.DirEntry[str]) -> bool:
        """Whether this file of a folder is listed."""

    @abstractmethod
    def read(self, path: Path) -> Found:
        """Called in a thread. Raises Refusal."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title, hint = Content(self.titled()[0]), self.titled()[1]
            yield Line(self.typed, id="file-path", hint=hint, suggester=PathSuggester(self.wanted))
            yield Prose("", id="saying")
            yield Options(id="files", markup=False, compact=True)
            yield Prose(_("→ completes what is typed."), classes="keys")
        yield KeyBar()

    def on_mount(self) -> None:
        self._list(self.typed)

    async def relabel(self) -> None:
        await super().relabel()
        self._list(self.typed)

    @on(Input.Changed)
    def _remember(self, event: Input.Changed) -> None:
        self.typed = event.value
        self._say("")
        self._list(event.value)

    @work(thread=True, exclusive=True)
    def _list(self, typed: str) -> None:
        worker = get_current_worker()
        names = entries_of(typed, self.wanted)[:MOST_SHOWN]
        if not worker.is_cancelled:
            self.post_message(self.Listed(typed, tuple(names)))

    @on(Listed)
    def _listed(self, event: Listed) -> None:
        if event.typed != self.typed:
            return
        self.names = event.names
        shown = self.query_one("#files", OptionList)
        shown.clear_options()
        shown.add_options([visible(name) for name in event.names])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In the list itself the key goes down."""
        return action != "to_list" or isinstance(self.focused, Input)

    def action_to_list(self) -> None:
        if self.names:
            shown = self.query_one("#files", OptionList)
            shown.focus()
            shown.highlighted = 0

    @on(OptionList.OptionSelected)
    def _pick(self, event: OptionList.OptionSelected) -> None:
        """A folder is opened, a file loaded."""
        event.stop()
        chosen = os.path.join(os.path.split(self.typed)[0], self.names[event.option_index])  # noqa: PTH118
        line = self.query_one("#file-path", Line)
        line.value = chosen
        line.focus()
        line.cursor_position = len(chosen)
        if not chosen.endswith("/"):
            self._load(chosen)

    def action_load(self) -> None:
        if isinstance(self.focused, OptionList):
            self.focused.action_select()
        else:
            self._load(self.typed)

    def _load(self, typed: str) -> None:
        if not typed.strip():
            self._say(_("Type a file's name, or choose one below."))
            return
        self.typed = typed
        self._read(typed)

    @work(thread=True, exclusive=True, group="read")
    def _read(self, typed: str) -> None:
        """In a thread: a pipe that nobody writes to, or a disk that went away, would hold up the screen for good."""
        try:
            found: Found | Refusal = self.read(with_home(typed.strip()))
        except Refusal as refusal:
            found = refusal
        self.post_message(self.Read(typed, found))

    @on(Read)
    def _take(self, event: Read) -> None:
        if event.typed != self.typed:
            return
        if isinstance(event.found, Refusal):
            self._say(said(event.found))
        else:
            self.take(event.found)

    def take(self, found: Found) -> None:
        self.dismiss(found)

    def _say(self, text: str) -> None:
        self.query_one("#saying", Prose).say(Content.styled(visible(text), "$text-error"))


class LoadRecipe(LoadFile[Salvaged]):
    """Of a recipe with faults Enter again takes the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = ""
        """The path whose refusal is on the screen."""

    def titled(self) -> tuple[str, str]:
        return _("Load a recipe"), _("a recipe's file, .yaml")

    def wanted(self, entry: os.DirEntry[str]) -> bool:
        return is_recipe(entry)

    def read(self, path: Path) -> Salvaged:
        return salvage_recipe(path)

    def take(self, found: Salvaged) -> None:
        if found.refusals and self.refused != self.typed:
            self.refused = self.typed
            self._say("\n".join([*map(said, found.refusals), _("↵ again takes the rest of it.")]))
        else:
            self.dismiss(found)


class LoadPrompts(LoadFile[list[str]]):
    """The lines of a text file."""

    def titled(self) -> tuple[str, str]:
        return _("Open a list of prompts"), _("a text file with one prompt on each line")

    def wanted(self, entry: os.DirEntry[str]) -> bool:
        return is_prompts(entry)

    def read(self, path: Path) -> list[str]:
        from finetty.backend.results.prompts import read_prompts

        return read_prompts(path)
