"""The screen that finds out: machine, model and data are read in threads, and a model that is not here is brought."""

from __future__ import annotations

import gc
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.events import Mount, Unmount
from textual.message import Message
from textual.timer import Timer
from textual.worker import get_current_worker

from finetty.backend.messages import Message as Said
from finetty.backend.recipe import Recipe, dump_recipe
from finetty.tui.draft import Draft
from finetty.tui.reading import (
    DataRead,
    Fault,
    Known,
    ModelRead,
    RowsRead,
    Stopped,
    data_key,
    fetch_model,
    look_at_rows,
    measure_rows,
    model_key,
    read_model,
    read_whole_rows,
    rows_key,
)
from finetty.tui.screens.base import TranslatedScreen
from finetty.tui.screens.state import State

if TYPE_CHECKING:
    from finetty.backend.dataset import Progress
    from finetty.backend.machine.facts import MachineFacts
    from finetty.tui.shelf import Shelf


SECONDS_BETWEEN_GARBAGE = 5.0
"""A full search takes some milliseconds, with what was loaded at the start left out."""


class FactsScreen(TranslatedScreen[None]):
    """Reads again what an answer changed, and draws as each part comes in. Nothing here holds up a key."""

    typing_pause: ClassVar[float] = 0.25
    """Seconds without a key before a typed path is read."""

    class Looked(Message):
        """The machine and the models that can be chosen are known."""

        def __init__(self, machine: MachineFacts, shelf: Shelf) -> None:
            self.machine, self.shelf = machine, shelf
            super().__init__()

    class Read(Message):
        """A model or data was read; what was not read again is None."""

        def __init__(self, model: ModelRead | None, data: DataRead | None, *, last: bool) -> None:
            self.model, self.data, self.last = model, data, last
            super().__init__()

    class ReadOn(Message):
        """How far the whole file is read, or its rows are measured."""

        def __init__(self, progress: Progress) -> None:
            self.progress = progress
            super().__init__()

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, type(self))

    class Fetching(Message):
        """How far the download of the model is."""

        def __init__(self, said: Said) -> None:
            self.said = said
            super().__init__()

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, type(self))

    class Fetched(Message):
        """The download for the answer `key` has ended, with what went wrong if something did."""

        def __init__(self, key: tuple[str, str | None], fault: Fault | None) -> None:
            self.key, self.fault = key, fault
            super().__init__()

    def __init__(self, draft: Draft, *, fetch_at_once: bool = False) -> None:
        """With `fetch_at_once` a model that is not here is brought without a key."""
        super().__init__()
        self.state = State(draft)
        self.fetch_at_once = fetch_at_once
        self._asked: object = None
        self._timer: Timer | None = None

    @on(Mount)
    def _keep_garbage(self) -> None:
        # A plan leaves thousands of objects, and while a key waits for it Python would look through them ten times.
        gc.disable()
        self.set_interval(SECONDS_BETWEEN_GARBAGE, self._collect)  # Textual calls no built-in function

    @on(Unmount)
    def _collect_as_usual(self) -> None:
        gc.enable()

    @staticmethod
    def _collect() -> None:
        gc.collect()

    # mypy holds subclasses to it; Textual's own metaclass leaves no ABC that would when the app runs.
    @abstractmethod
    def fill(self) -> None:
        """Everything that depends on answers, facts or the plan."""

    def all_is_read(self) -> None:
        """Called when nothing is left to be read."""

    # The machine

    @work(thread=True, group="machine")
    def look_around(self) -> None:
        from finetty.backend.machine import machine_facts
        from finetty.backend.models import local_models
        from finetty.backend.runs.directory import wanted_root
        from finetty.tui.shelf import Shelf

        machine = machine_facts(wanted_root())
        self.post_message(self.Looked(machine, Shelf(local_models(), machine)))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        # Modules and the catalogue are loaded and stay: they are 30 ms of every search for garbage.
        if not gc.get_freeze_count():
            gc.freeze()
        self.state.shelf = event.shelf
        self.state.known = replace(self.state.known, machine=event.machine)
        self.state.replan()
        self.draw()

    # Model and data

    def read_soon(self, seconds: float, *, again: bool = False) -> None:
        """Read model and data when nothing has been typed for so long, if an answer about them has changed."""
        asked = _what_is_read(self.state.draft.recipe)
        if asked == self._asked and not again:
            return
        self._asked = asked
        self.state.reading = True
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(seconds, self._read_now) if seconds else None
        if not seconds:
            self._read_now()

    def _read_now(self) -> None:
        self._read(self.state.draft.recipe, self.state.known)

    @work(thread=True, exclusive=True, group="reading")
    def _read(self, recipe: Recipe, known: Known) -> None:
        stopped = get_current_worker()
        model = known.model
        if model_key(recipe) != model.key or model.facts is None:
            model = read_model(recipe)
            if stopped.is_cancelled:
                return
            self.post_message(self.Read(model, None, last=False))
        folder = model.facts.folder if model.facts and model.facts.has_tokenizer_json else None
        data = known.data
        if data.key is None or data.key != data_key(recipe, folder):
            try:
                data = self._read_data(recipe, known.data.rows, model, lambda: stopped.is_cancelled)
            except Stopped:
                return
        if not stopped.is_cancelled:
            self.post_message(self.Read(None, data, last=True))

    def _read_data(self, recipe: Recipe, before: RowsRead, model: ModelRead, stopped: Callable[[], bool]) -> DataRead:
        """The first rows at once, posted; then every row, measured."""

        def report(progress: Progress) -> None:
            if stopped():
                raise Stopped
            self.post_message(self.ReadOn(progress))

        folder = model.facts.folder if model.facts and model.facts.has_tokenizer_json else None
        rows = before if before.key == rows_key(recipe) and before.whole else look_at_rows(recipe)
        if rows.rows is not None and not rows.whole:
            if stopped():
                raise Stopped
            self.post_message(self.Read(None, measure_rows(recipe, folder, rows, report), last=False))
            rows = read_whole_rows(recipe, report)
        return measure_rows(recipe, folder, rows, report)

    @on(ReadOn)
    def _read_on(self, event: ReadOn) -> None:
        if self.state.reading:
            self.state.progress = event.progress
            self.draw()

    @on(Read)
    def _was_read(self, event: Read) -> None:
        known = self.state.known
        self.state.known = Known(event.model or known.model, event.data or known.data, known.machine)
        if event.last:
            self.state.reading, self.state.progress = False, None
        self.state.replan()
        if event.model is not None and self.fetch_at_once and self.state.can_fetch:
            self.fetch()
        self.draw()
        if event.last:
            self.all_is_read()

    # A model that is not here

    def fetch(self) -> None:
        """Download the model in a thread of its own, which does not hold up leaving; what has come is kept."""
        from finetty.backend.models.folder import FETCH_IT

        if self.state.fetching is None:
            self.state.fetching = FETCH_IT()
            recipe = self.state.draft.recipe
            Thread(target=self._fetch, args=(recipe,), daemon=True).start()
            self.draw()

    def _fetch(self, recipe: Recipe) -> None:
        fault = fetch_model(recipe, lambda said: self._tell(self.Fetching(said)))
        self._tell(self.Fetched(model_key(recipe), fault))

    def _tell(self, message: Message) -> None:
        if self.is_attached:
            self.post_message(message)

    @on(Fetching)
    def _fetching(self, event: Fetching) -> None:
        self.state.fetching = event.said
        self.draw()

    @on(Fetched)
    def _fetched(self, event: Fetched) -> None:
        self.state.fetching = None
        if event.fault is None:
            self.read_soon(0, again=True)
        elif event.key == model_key(self.state.draft.recipe):
            failed = replace(self.state.known.model, fault=event.fault)
            self.state.known = replace(self.state.known, model=failed)
        self.draw()


def _what_is_read(recipe: Recipe) -> tuple[str, ...]:
    """The answers that model and data are read by."""
    relevant = Recipe(model=recipe.model, dataset=recipe.dataset, template=recipe.template)
    return (dump_recipe(relevant), str(recipe.training.seed))
