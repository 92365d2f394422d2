"""The step of the data: files of rows, and what was read of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from finetty.tui.language import _, mark, plural, translate
from finetty.tui.screens.steps import Step, show_field
from finetty.tui.text import visible
from finetty.tui.widgets.field import Entry, Field
from finetty.tui.widgets.outlook import finding_lines
from finetty.tui.widgets.paths import PathSuggester, is_data
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.conversation import Row
    from finetty.backend.dataset import Rows


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
