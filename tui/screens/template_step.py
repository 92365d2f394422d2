"""The step of the conversation template: the person's own row, exactly as the model will read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from finetty.tui.actions import bindings
from finetty.tui.guide import word
from finetty.tui.language import _, mark, translate
from finetty.tui.screens.state import State
from finetty.tui.screens.steps import Step
from finetty.tui.text import count, visible
from finetty.tui.widgets.preview import LONGEST_SHOWN, drawn, pieces
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.conversation import Encoded, Encoder


class TemplateStep(Step):
    """Template, system prompt and thinking, above the row that they make."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("template")
    step = "template"
    titled = mark("Template")
    fields = ("template.name", "template.system", "template.thinking")
    room = "-own-room"

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.row = 0

    def compose(self) -> ComposeResult:
        for option in self.fields:
            yield self.field(option)
        yield Prose("", id="row-heading", classes="heading")
        with VerticalScroll(id="row"):
            yield Prose("", id="row-text")

    def show(self) -> None:
        super().show()
        self._show_row()

    def action_next_row(self) -> None:
        self._turn(1)

    def action_previous_row(self) -> None:
        self._turn(-1)

    def _turn(self, by: int) -> None:
        rows = self.state.known.data.rows.rows
        if rows is not None and rows.rows:
            self.row = (self.row + by) % len(rows.rows)
            self._show_row()
            self.query_one("#row", VerticalScroll).scroll_home(animate=False)

    def _show_row(self) -> None:
        heading, text = self._row()
        self.query_one("#row-heading", Prose).say(heading)
        self.query_one("#row-text", Prose).say(text)

    def _row(self) -> tuple[str, Content]:
        read = self.state.known.data
        if read.rows.rows is None or not read.rows.rows.rows:
            return _("Your row"), Content.styled(_("Choose the data first; then your own row stands here."), "$muted")
        if read.encoder is None:
            missing = _("Choose a model that is here first; then your row stands here as it reads it.")
            return _("Your row"), Content.styled(missing, "$muted")
        rows = read.rows.rows.rows
        self.row %= len(rows)
        encoded = next(iter(read.encoder.encode_rows([rows[self.row]])))
        if encoded.problem is not None:
            return self._heading(len(rows), []), Content.styled(
                f"✗ {visible(translate(encoded.problem))}", "$text-error"
            )
        return self._heading(len(rows), encoded.sequences), self._drawn(read.encoder, encoded.sequences)

    def _heading(self, rows: int, sequences: Sequence[Encoded]) -> str:
        tokens = sum(len(one.ids) for one in sequences)
        learned = sum(sum(one.trained) for one in sequences)
        return _("Row {at} of {rows} · {tokens} tokens, {learned} of them learned, between « and »").format(
            at=count(self.row + 1), rows=count(rows), tokens=count(tokens), learned=count(learned)
        )

    def _drawn(self, encoder: Encoder, sequences: Sequence[Encoded]) -> Content:
        parts = [drawn(pieces(one, encoder.is_special)[:LONGEST_SHOWN]) for one in sequences]
        if any(one.cut for one in sequences):
            parts.append(Content.styled(_("This row is longer than the cutoff and was shortened."), "$text-warning"))
        parts.append(Content.styled(f"{visible(_(word(encoder.name)))}: {translate(encoder.reason)}", "$muted"))
        return Content("\n").join(parts)
