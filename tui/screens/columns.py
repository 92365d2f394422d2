"""Which column is which: every part of a row is given a column, beside the row as it will be read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option as Line

from finetty.backend.recipe import DataFile
from finetty.tui.actions import bindings
from finetty.tui.language import _, mark, translate
from finetty.tui.reading import Fault, read_sample
from finetty.tui.screens.base import BREADTHS, HEIGHTS, TranslatedScreen
from finetty.tui.screens.sources import turns
from finetty.tui.text import count, one_line, padded, visible, width
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.options import Options
from finetty.tui.widgets.outlook import finding_lines
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.dataset.columns import Example, Sample

FORMATS = {
    "auto": mark("recognised by itself"),
    "alpaca": mark("instruction and answer"),
    "prompt_completion": mark("prompt and completion"),
    "messages": mark("conversation"),
    "text": mark("plain text"),
}
PARTS = {
    "instruction": mark("Instruction"),
    "input": mark("Input"),
    "output": mark("Answer"),
    "prompt": mark("Prompt"),
    "completion": mark("Completion"),
    "messages": mark("Messages"),
    "role": mark("Who speaks"),
    "content": mark("What is said"),
    "user": mark("The user is"),
    "assistant": mark("The model is"),
    "text": mark("Text"),
    "system": mark("System prompt"),
    "history": mark("History"),
    "tools": mark("Tools"),
}
INSIDE = ("role", "content", "user", "assistant")
"""Parts of a message rather than of a row; unnamed they are what is usual."""
VALUES_SHOWN = 3
NAME_CELLS = 16
LONGEST_NAME = 36
"""Cells that the columns' names take at most before their values; a longer one pushes its own values on."""


class Parts(Options, inherit_bindings=False):
    """The lines that are answered. It takes its keys itself, one after the other: a binding of the screen could act
    before the list has gone to the line that it was meant for."""

    def on_key(self, event: events.Key) -> None:
        asked = self.screen
        assert isinstance(asked, ColumnsScreen)
        does = {
            "up": self.action_cursor_up,
            "down": self.action_cursor_down,
            "right": asked.action_next_name,
            "left": asked.action_name_before,
            "pagedown": asked.action_next_row,
            "ctrl+n": asked.action_next_row,
            "pageup": asked.action_previous_row,
            "ctrl+b": asked.action_previous_row,
            "enter": asked.action_keep,
        }.get(event.key)
        if does is not None:
            event.stop()
            event.prevent_default()
            does()


class ColumnsScreen(TranslatedScreen[list[DataFile]]):
    """Dismissed with the recipe's files as they were answered, or with None where nothing was kept."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("columns")
    CSS_PATH = "../styles/columns.tcss"
    HORIZONTAL_BREAKPOINTS = BREADTHS
    VERTICAL_BREAKPOINTS = HEIGHTS

    class Looked(Message):
        """The first rows of the file with this index, or why they cannot be read."""

        def __init__(self, index: int, found: Sample | Fault) -> None:
            self.index, self.found = index, found
            super().__init__()

    def __init__(self, files: Sequence[DataFile], index: int = 0) -> None:
        super().__init__()
        self.files, self.index, self.row = list(files), index, 0
        self.found: dict[int, Sample | Fault] = {}
        """What was read so far, by the file's index."""

    def compose(self) -> ComposeResult:
        yield Prose("", id="title")
        yield Parts(id="parts", markup=False, compact=True)
        yield Prose(_("The columns and their first values"), classes="heading")
        with VerticalScroll(id="columns"):
            yield Prose("", id="columns-text")
        yield Prose("", id="example-heading", classes="heading")
        with VerticalScroll(id="example"):
            yield Prose("", id="example-text")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#parts").focus()
        self._look(self.index, self.file)
        self.draw()

    @work(thread=True)
    def _look(self, index: int, file: DataFile) -> None:
        self.post_message(self.Looked(index, read_sample(file)))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        self.found[event.index] = event.found
        self.draw()

    # What is answered

    @property
    def file(self) -> DataFile:
        return self.files[self.index]

    @property
    def sample(self) -> Sample | None:
        """The first rows of the file that is shown, once they are read."""
        found = self.found.get(self.index)
        return None if found is None or isinstance(found, Fault) else found

    @property
    def example(self) -> Example | None:
        return self.sample.example(self.row, self.file) if self.sample is not None else None

    @property
    def written(self) -> str:
        """How the rows are written, by the answer or, where it is left to finetty, as recognised; else auto."""
        form = self.example.form if self.example is not None else None
        name = form.name if form is not None else self.file.format
        return "messages" if name == "sharegpt" else name

    @property
    def columns(self) -> dict[str, str | None]:
        """Part → its column, those that were recognised among them."""
        form = self.example.form if self.example is not None else None
        known = dict(form.columns if form is not None else {}) | self.file.columns
        if "conversations" in known:
            known["messages"] = known.pop("conversations")
        return known

    @property
    def lines(self) -> list[str]:
        """What each line of the list answers: the file where there are several, how it is written, the parts."""
        from finetty.backend.dataset.recognition import PARTS as PARTS_OF

        parts = list(PARTS_OF.get(self.written, ()))
        if self.written == "messages":
            parts[1:1] = INSIDE
        return [*(["file"] if len(self.files) > 1 else []), "format", *parts]

    def column(self, part: str) -> str | None:
        """The column of a part; one that nobody named is the column of the part's own name, where there is one."""
        own = part if self.sample is not None and part not in INSIDE and part in self.sample.columns else None
        return self.columns.get(part, own)

    def action_next_name(self) -> None:
        self._step(1)

    def action_name_before(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        highlighted = self.query_one(Parts).highlighted
        line = self.lines[highlighted] if highlighted is not None and highlighted < len(self.lines) else "format"
        if line == "file":
            self._show_file((self.index + by) % len(self.files))
        elif line == "format":
            shown = "auto" if self.file.format == "auto" and not self.file.columns else self.written
            self._answer(_after(list(FORMATS), shown, by), {})
        elif self.sample is not None:
            choices = [None, *self.sample.choices(line, self.columns)]
            named = _after(choices, self.column(line), by)
            self._answer(self.written, {**self.columns, line: named})
        self.draw()

    def _answer(self, form: str, columns: dict[str, str | None]) -> None:
        self.files[self.index] = self.file.model_copy(update={"format": form, "columns": columns})

    def _show_file(self, index: int) -> None:
        self.index, self.row = index, 0
        if index not in self.found:
            self._look(index, self.file)

    def action_next_row(self) -> None:
        self._turn(1)

    def action_previous_row(self) -> None:
        self._turn(-1)

    def _turn(self, by: int) -> None:
        if self.sample is not None and self.sample.records:
            self.row = (self.row + by) % len(self.sample.records)
            self.draw()

    def action_keep(self) -> None:
        self.dismiss(self.files)

    def action_close(self) -> None:
        self.dismiss(None)

    # Drawing

    def fill(self) -> None:
        self.query_one("#title", Prose).say(self._title())
        self._draw_parts()
        self.query_one("#columns-text", Prose).say(self._columns())
        heading = _("The row as it will be read")
        if self.sample is not None and self.sample.records:
            of = _("row {at} of the first {rows}")
            of = of.format(at=count(self.row + 1), rows=count(len(self.sample.records)))
            heading = f"{heading} · {of}"
        self.query_one("#example-heading", Prose).say(heading)
        self.query_one("#example-text", Prose).say(self._example())

    def _title(self) -> Content:
        name = visible(Path(self.file.path).name)
        return Content.assemble((_("Which column is which"), "bold $text-accent"), "  ", (name, "$muted"))

    def _draw_parts(self) -> None:
        parts = self.query_one(Parts)
        lines = [self._line(line) for line in self.lines]
        highlighted = parts.highlighted
        if parts.option_count != len(lines):
            parts.clear_options()
            parts.add_options([Line(line) for line in lines])
            first = 1 if self.lines[0] == "file" else 0
            parts.highlighted = first if highlighted is None else min(highlighted, len(lines) - 1)
        else:
            for index, line in enumerate(lines):
                parts.replace_option_prompt_at_index(index, line)

    def _line(self, line: str) -> Content:
        if line == "file":
            place = f"{self.index + 1}/{len(self.files)} {visible(self.file.path)}"
            return _answered(_("File"), place)
        if line == "format":
            by_itself = self.file.format == "auto" and not self.file.columns
            recognised = f"{_(FORMATS['auto'])}: {_(FORMATS.get(self.written, self.written))}"
            unknown = self.written == "auto"
            return _answered(_("Written as"), recognised if by_itself and not unknown else _(FORMATS[self.written]))
        named = self.column(line)
        if named is None:
            return _answered(_(PARTS[line]), None, _("as usual") if line in INSIDE else _("none"))
        first = ""
        if self.sample is not None and line not in INSIDE:
            first = one_line(next(self.sample.values(named, self.row), ""))
        return _answered(_(PARTS[line]), visible(named), first)

    def _columns(self) -> Content:
        found = self.found.get(self.index)
        if found is None:
            return Content.styled(_("reading …"), "$muted")
        if isinstance(found, Fault):
            return Content("\n").join(finding_lines([found]))
        used = {named: part for part in self.lines if part in PARTS and (named := self.column(part))}
        names = {name: visible(name) + (f" = {_(PARTS[used[name]])}" if name in used else "") for name in found.columns}
        cells = min(LONGEST_NAME, max(map(width, names.values()), default=0))
        lines = []
        for column, name in names.items():
            sign = ("✓ ", "$text-success") if column in used else "  "
            values = " │ ".join(one_line(value) for value in islice(found.values(column, self.row), VALUES_SHOWN))
            lines.append(Content.assemble(sign, (padded(name, cells), "bold"), "  ", (values, "$muted")))
        return Content("\n").join(lines)

    def _example(self) -> Content:
        example = self.example
        if example is None:
            return Content("")
        if example.row is not None:
            return turns(example.row)
        said = translate(example.problem) if example.problem is not None else ""
        return Content.styled(f"✗ {visible(said)}", "$text-error")

    @on(OptionList.OptionHighlighted)
    def _show_column(self) -> None:
        """Bring the column of the highlighted part into view."""
        if not self.complete:
            return
        highlighted = self.query_one(Parts).highlighted
        if highlighted is None or self.sample is None or highlighted >= len(self.lines):
            return
        line = self.lines[highlighted]
        named = self.column(line) if line in PARTS else None
        if named in self.sample.columns:
            place = Region(0, self.sample.columns.index(named), 1, 1)
            self.query_one("#columns", VerticalScroll).scroll_to_region(place, animate=False)

    def help_on_focus(self) -> tuple[str, list[Content]]:
        about = _(
            "Each line is a part of a row; ← and → give it a column of your file, or none. Below stand the columns "
            "with their first values, and the row as it will be read, at once. Enter keeps it; Esc leaves it as it was."
        )
        return _("Which column is which"), [Content(about)]


def _after(choices: Sequence[Any], chosen: Any, by: int) -> Any:
    place = choices.index(chosen) if chosen in choices else 0
    return choices[(place + by) % len(choices)]


def _answered(name: str, value: str | None, about: str = "") -> Content:
    chosen = (f"‹{value}›", "bold") if value is not None else ""
    return Content.assemble(
        (padded(name, NAME_CELLS), "$text-accent"), chosen, f" {about}" if value else (about, "$muted")
    )
