"""The step of the data: files of rows, what was read of them, and the way to say which column is which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from finetty.backend.messages import Finding
from finetty.backend.recipe import DataFile
from finetty.tui.actions import bindings
from finetty.tui.language import _, mark, plural, translate
from finetty.tui.reading import Fault
from finetty.tui.screens.steps import Step, show_field
from finetty.tui.text import count, visible
from finetty.tui.widgets.field import Answered, Entry, Field
from finetty.tui.widgets.outlook import finding_lines
from finetty.tui.widgets.paths import PathSuggester, is_data
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.conversation import Row
    from finetty.backend.dataset import Rows


class DataStep(Step):
    """Files of rows, what was read of them, and the first row."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("data")
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
        rows = self.state.known.data.rows.rows
        if self.state.reading and (rows is None or rows.whole):
            return Content.styled(self._reading_words(), "$muted")
        found = [rows_read(rows)] if rows is not None else []
        if self.state.reading:
            found.append(Content.styled(self._reading_words(), "$muted"))
        faults = self.state.findings_for("dataset.train") if self.state.draft.data_files else ()
        hint = [Content.styled(_("F8 says which column is which"), "bold $text-accent")] if any_columns(faults) else []
        return Content("\n").join([*found, *finding_lines(faults, fixes=not hint), *hint])

    # Which column is which

    def action_columns(self) -> None:
        from finetty.tui.screens.columns import ColumnsScreen

        files = self.state.draft.recipe.dataset.train
        if files:
            self.app.push_screen(ColumnsScreen(files, self._file_meant(files)), self._take_columns)
        else:
            self.app.notify(_("Choose a file of rows first."), severity="warning", markup=False)

    def _file_meant(self, files: Sequence[DataFile]) -> int:
        """The file whose line has the focus; else the one that could not be read; else the first."""
        focused = self.screen.focused
        if isinstance(focused, Entry) and focused.option == "dataset.train" and focused.index < len(files):
            return focused.index
        fault = self.state.known.data.rows.fault
        path = fault.path if isinstance(fault, Fault) else None
        meant = (number for number, file in enumerate(files) if path and path.is_relative_to(Path(file.path)))
        return next(meant, 0)

    def _take_columns(self, files: list[DataFile] | None) -> None:
        if files is not None:
            self.post_message(Answered("dataset.train", files))

    def _reading_words(self) -> str:
        so_far = self.state.progress
        if so_far is None:
            return _("reading …")
        return _("reading … {percent}%, {rows} rows so far").format(
            percent=int(100 * so_far.share), rows=count(so_far.rows)
        )

    def _first_row(self) -> Content:
        rows = self.state.known.data.rows.rows
        return turns(rows.rows[0]) if rows is not None and rows.rows else Content("")


def any_columns(findings: Iterable[Finding]) -> bool:
    """Whether naming the columns may mend one of them."""
    from finetty.backend.dataset.columns import about_columns

    return any(found.level == "error" and about_columns(found.message) for found in findings)


def rows_read(rows: Rows) -> Content:
    """Formats, rows used and refused, and the first reason for a refusal."""
    used = plural("{count} row", "{count} rows", len(rows.rows))
    if not rows.whole:
        used = plural("the first row", "the first {count} rows", len(rows.rows))
    said = [", ".join(dict.fromkeys(rows.formats.values())), used]
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
        name = _("text") if row.plain else _(ROLES[turn.role])
        lines.append(Content.assemble((f"{name}  ", "bold $text-accent"), said))
    return Content("\n").join(lines)


ROLES = {"system": mark("system"), "user": mark("user"), "assistant": mark("assistant"), "tool": mark("tool")}
