"""The steps of what goes in: the model, and the data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList
from textual.widgets.option_list import Option as Line

from finetty.tui.language import _, mark, plural, translate
from finetty.tui.screens.state import State
from finetty.tui.screens.steps import Step, show_field
from finetty.tui.text import count, short_count, size, visible
from finetty.tui.widgets.field import Confirmed, Entry, Field, Typed
from finetty.tui.widgets.outlook import finding_lines
from finetty.tui.widgets.paths import PathSuggester, is_data, is_folder
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.conversation import Row
    from finetty.backend.dataset import Rows
    from finetty.backend.models import LocalModel
    from finetty.backend.models.facts import ModelFacts


class ModelStep(Step):
    """A name or a folder, typed or taken from the models that are here."""

    step = "model"
    titled = mark("Model")
    fields = ("model.path",)

    def __init__(self, state: State, models: Sequence[LocalModel]) -> None:
        super().__init__(state)
        self.models = models

    def compose(self) -> ComposeResult:
        suggester = self._suggester()
        path = Entry(
            "model.path", self.state.draft.text("model.path"), hint=_("a folder, or a name"), suggester=suggester
        )
        yield Field("model.path", path)
        yield Prose("", id="model-facts")
        yield Prose(_("On this machine"), classes="heading")
        yield Vertical(*self._list(), id="local-models")

    def _list(self) -> list[Widget]:
        if self.models:
            return [OptionList(*self._lines(), id="models", markup=False)]
        return [Prose(_("No models yet: type the path of a folder, or a name on the Hub."))]

    async def list_models(self, models: Sequence[LocalModel]) -> None:
        """Show the models that were found; what is being typed meanwhile stays."""
        self.models = models
        self.query_one(Entry).suggester = self._suggester()
        place = self.query_one("#local-models", Vertical)
        await place.remove_children()
        await place.mount_all(self._list())

    def _suggester(self) -> PathSuggester:
        return PathSuggester(is_folder, [model.path for model in self.models])

    def _lines(self) -> list[Line]:
        from finetty.backend.models import name_says

        lines = []
        for model in self.models:
            tags = " ".join(name_says(model.path).tags)
            name = Content.styled(visible(model.path), "bold")
            lines.append(Line(Content.assemble(name, (f"  {size(model.size)}  {tags}", "$muted"))))
        return lines

    @property
    def highlighted(self) -> LocalModel | None:
        """The model of the list that has the cursor, while the list has the focus."""
        lists = self.query(OptionList)
        if not lists or not lists.first().has_focus:
            return None
        at = lists.first().highlighted
        return self.models[at] if at is not None and at < len(self.models) else None

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        path = self.models[event.option_index].path
        self.query_one(Entry).put(path)
        self.post_message(Typed("model.path", path))
        self.post_message(Confirmed())

    def show(self) -> None:
        field = self.query_one(Field)
        field.show(self.state.draft.text("model.path"))
        self.query_one("#model-facts", Prose).say(self._facts())

    def _facts(self) -> Content:
        read = self.state.known.model
        if self.state.fetching is not None:
            return Content.styled(visible(translate(self.state.fetching)), "$text-accent")
        if self.state.draft.recipe.model.path and read.key[0] != self.state.draft.recipe.model.path:
            return Content.styled(_("reading …"), "$muted")
        found = [Content.assemble(("✓ ", "$text-success"), visible(model_words(read.facts)))] if read.facts else []
        faults = self.state.findings_for("model.path") if self.state.draft.recipe.model.path else ()
        hint = [Content.styled(_("↵ downloads it now"), "bold $text-accent")] if self.state.can_fetch else []
        return Content("\n").join([*found, *finding_lines(faults, fixes=not hint), *hint])


def model_words(facts: ModelFacts) -> str:
    """A model's facts in a line: class, size, format, context, tags."""
    stored = facts.stored_dtype or facts.quantization or ""
    parts = [facts.architecture, facts.name, short_count(facts.parameters), stored]
    if facts.context_length:
        parts.append(_("{count} tokens of context").format(count=count(facts.context_length)))
    return " · ".join(part for part in (*parts, " ".join(facts.tags)) if part)


class DataStep(Step):
    """Files of rows, what was read of them, and the first row."""

    step = "data"
    titled = mark("Data")
    fields = ("dataset.train", "dataset.validation", "dataset.train_on")
    shown_files: ClassVar[int] = 4

    def compose(self) -> ComposeResult:
        for index, path in enumerate([*self.state.draft.data_files[: self.shown_files], ""]):
            yield self._file_field(index, path)
        yield Prose("", id="data-facts")
        yield self.field("dataset.validation")
        yield self.field("dataset.train_on")
        yield Prose(_("First row"), classes="heading", id="first-row-heading")
        with VerticalScroll(can_focus=False):
            yield Prose("", id="first-row")

    def _file_field(self, index: int, path: str) -> Field:
        hint = _("rows.jsonl") if index == 0 else _("none")
        entry = Entry("dataset.train", path, index=index, hint=hint, suggester=PathSuggester(is_data))
        return Field("dataset.train", entry, named=mark("File") if index == 0 else mark("Another file"))

    def show(self) -> None:
        files = self.state.draft.data_files
        entries = [field for field in self.query(Field) if field.option == "dataset.train"]
        if len(entries) <= min(len(files), self.shown_files):
            self.mount(self._file_field(len(entries), ""), after=entries[-1])
        for index, field in enumerate(entries):
            field.show(files[index] if index < len(files) else "")
        for field in self.query(Field):
            if field.option != "dataset.train":
                show_field(field, self.state)
        self.query_one("#data-facts", Prose).say(self._facts())
        self.query_one("#first-row", Prose).say(self._first_row())

    def _facts(self) -> Content:
        if self.state.reading:
            return Content.styled(_("reading …"), "$muted")
        rows = self.state.known.data.rows.rows
        found = [rows_read(rows)] if rows is not None else []
        faults = self.state.findings_for("dataset.train") if self.state.draft.data_files else ()
        return Content("\n").join([*found, *finding_lines(faults)])

    def _first_row(self) -> Content:
        rows = self.state.known.data.rows.rows
        return turns(rows.rows[0]) if rows is not None and rows.rows else Content("")


def rows_read(rows: Rows) -> Content:
    """Formats, rows used and refused, and the first reason for a refusal."""
    said = [", ".join(dict.fromkeys(rows.formats.values())), plural("{count} row", "{count} rows", len(rows.rows))]
    if rows.duplicates:
        said.append(plural("{count} duplicate left out", "{count} duplicates left out", rows.duplicates))
    parts = [Content.assemble(("✓ ", "$text-success"), visible(" · ".join(said)))]
    if rows.refused_count:
        first = rows.refused[0]
        refused = plural("{count} row refused", "{count} rows refused", rows.refused_count)
        reason = f"! {refused}: {Path(first.path).name}:{first.line}: {translate(first.reason)}"
        parts.append(Content.styled(visible(reason), "$text-warning"))
    return Content("\n").join(parts)


def turns(row: Row) -> Content:
    """A row turn by turn, as plain text whatever is in it."""
    lines = []
    for turn in row.turns:
        said = visible(turn.content[:2000])
        lines.append(Content.assemble((f"{_(ROLES[turn.role])}  ", "bold $text-accent"), said))
    return Content("\n").join(lines)


ROLES = {"system": mark("system"), "user": mark("user"), "assistant": mark("assistant"), "tool": mark("tool")}
