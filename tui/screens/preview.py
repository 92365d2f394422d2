"""The preview: any row as the model reads it, as text or token by token, beside the tokenizer's own template."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.worker import get_current_worker

from finetty.backend.messages import Refusal
from finetty.backend.recipe import with_values
from finetty.tui.actions import bindings
from finetty.tui.guide import word
from finetty.tui.language import _, translate
from finetty.tui.screens.base import BREADTHS, HEIGHTS, TranslatedScreen
from finetty.tui.text import count, visible
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.preview import LONGEST_SHOWN, Piece, drawn, drawn_piece, pieces
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.conversation import EncodedRow, Encoder, Row
    from finetty.tui.screens.state import State

CONTEXT = 2
"""Tokens that both have which are shown around a difference."""


class Preview(TranslatedScreen[None]):
    """One row at a time. Lengths of all rows are measured beside, for the jumps to the longest and the shortest."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("preview")
    CSS_PATH = "../styles/preview.tcss"
    HORIZONTAL_BREAKPOINTS = BREADTHS
    VERTICAL_BREAKPOINTS = HEIGHTS

    class Measured(Message):
        """The tokens of every row, whole."""

        def __init__(self, lengths: array[int]) -> None:
            self.lengths = lengths
            super().__init__()

    def __init__(
        self, state: State, encoder: Encoder, rows: Sequence[Row], at: int = 0, *, ask_base: Callable[[int], None]
    ) -> None:
        """`ask_base` has the base model answer rows from one on."""
        super().__init__()
        self.encoder, self.rows, self.at, self.ask_base = encoder, rows, at, ask_base
        self.cutoff = _cutoff(state)
        self.own = _own_encoder(state, encoder)
        self.lengths: array[int] | None = None
        self.as_tokens = False
        self.random = random.Random()

    def compose(self) -> ComposeResult:
        yield Prose("", id="title")
        with Horizontal(id="body"):
            with VerticalScroll(id="row"):
                yield Prose("", id="row-text")
            with VerticalScroll(id="difference", can_focus=False):
                yield Prose("", id="difference-text")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#row").focus()
        self.draw()
        self._measure()

    @work(thread=True, exclusive=True)
    def _measure(self) -> None:
        worker, lengths = get_current_worker(), array("L")
        for encoded in self.encoder.with_cutoff(None).encode_rows(self.rows):
            if worker.is_cancelled:
                return
            lengths.append(sum(len(one.ids) for one in encoded.sequences))
        self.post_message(self.Measured(lengths))

    def on_preview_measured(self, event: Measured) -> None:
        self.lengths = event.lengths

    # Which row

    def action_next_row(self) -> None:
        self._go_to((self.at + 1) % len(self.rows))

    def action_previous_row(self) -> None:
        self._go_to((self.at - 1) % len(self.rows))

    def action_random_row(self) -> None:
        self._go_to(self.random.randrange(len(self.rows)))

    def action_longest_row(self) -> None:
        if self._lengths_known():
            self._go_to(max(range(len(self.rows)), key=self._length))

    def action_shortest_row(self) -> None:
        if self._lengths_known():
            self._go_to(min(range(len(self.rows)), key=self._length))

    def action_cut_row(self) -> None:
        """The next row that the cutoff shortens or leaves out."""
        if not self._lengths_known():
            return
        following = [*range(self.at + 1, len(self.rows)), *range(self.at + 1)]
        cut = next((row for row in following if self.cutoff and self._length(row) > self.cutoff), None)
        if cut is None:
            self.app.notify(_("No row is longer than the cutoff."), markup=False)
        else:
            self._go_to(cut)

    def _length(self, row: int) -> int:
        return self.lengths[row] if self.lengths is not None else 0

    def _lengths_known(self) -> bool:
        if self.lengths is None:
            self.app.notify(_("The rows are still being measured."), markup=False)
        return self.lengths is not None

    def _go_to(self, row: int) -> None:
        self.at = row
        self.draw()
        self.query_one("#row", VerticalScroll).scroll_home(animate=False)
        self.query_one("#difference", VerticalScroll).scroll_home(animate=False)

    def action_base_answers(self) -> None:
        self.ask_base(self.at)

    def action_tokens(self) -> None:
        self.as_tokens = not self.as_tokens
        self.draw()

    def action_close(self) -> None:
        self.dismiss()

    # Drawing

    def fill(self) -> None:
        encoded = next(self.encoder.with_cutoff(self.cutoff).encode_rows([self.rows[self.at]]))
        self.query_one("#title", Prose).say(self._title(encoded))
        self.query_one("#row-text", Prose).say(self._row(encoded))
        self.query_one("#difference-text", Prose).say(self._difference())

    def _title(self, encoded: EncodedRow) -> Content:
        tokens = sum(len(one.ids) for one in encoded.sequences)
        learned = sum(one.trained_tokens for one in encoded.sequences)
        said = _("Row {at} of {rows} · {tokens} tokens, {learned} of them learned, between « and »").format(
            at=count(self.at + 1), rows=count(len(self.rows)), tokens=count(tokens), learned=count(learned)
        )
        return Content.styled(said, "bold $text-accent")

    def _row(self, encoded: EncodedRow) -> Content:
        if encoded.problem is not None:
            return Content.styled("✗ " + visible(translate(encoded.problem)), "$text-error")
        parts = []
        for sequence in encoded.sequences:
            row = pieces(sequence, self.encoder.is_special)[:LONGEST_SHOWN]
            parts.append(token_lines(row, sequence.ids) if self.as_tokens else drawn(row))
        if any(one.cut for one in encoded.sequences):
            parts.append(Content.styled(_("This row is longer than the cutoff and was shortened."), "$text-warning"))
        return Content("\n\n").join(parts)

    def _difference(self) -> Content:
        heading = Content.styled(_("Against the model's own template"), "bold $text-accent")
        if self.encoder.name == "own":
            name = _("This is the model's own template: nothing differs.")
            return Content("\n").join([heading, Content(name)])
        if not isinstance(self.own, tuple):
            lines = difference_lines(self._whole(self.own), self._whole(self.encoder))
            return Content("\n").join([heading, Content.styled(self._legend(), "$muted"), *lines])
        return Content("\n").join([heading, Content(self.own[0])])

    def _legend(self) -> str:
        return _("− only the model's own, + only {name}").format(name=visible(_(word(self.encoder.name))))

    def _whole(self, encoder: Encoder) -> list[Piece]:
        encoded = next(encoder.with_cutoff(None).encode_rows([self.rows[self.at]]))
        return pieces(encoded.sequences[-1], encoder.is_special)[:LONGEST_SHOWN] if encoded.sequences else []


def token_lines(row: Sequence[Piece], ids: Sequence[int]) -> Content:
    """A line a token: its id, a « where it is learned, and its text."""
    lines = []
    for piece, token in zip(row, ids, strict=False):
        sign = ("« ", "bold $text-success") if piece.trained else ("  ", "")
        lines.append(Content.assemble((f"{token:>7} ", "$muted"), sign, drawn_piece(piece)))
    return Content("\n").join(lines)


def difference_lines(own: Sequence[Piece], ours: Sequence[Piece]) -> list[Content]:
    """The tokens that only one of them has, each with its sign, and a few around them."""
    matcher = SequenceMatcher(None, [piece.text for piece in own], [piece.text for piece in ours], autojunk=False)
    lines: list[Content] = []
    for group in matcher.get_grouped_opcodes(CONTEXT):
        lines.append(Content.styled("…", "$muted"))
        for kind, start, end, our_start, our_end in group:
            if kind == "equal":
                lines += [Content.assemble("  ", drawn_piece(piece)) for piece in own[start:end]]
                continue
            lines += [_signed("− ", "bold $text-error", piece) for piece in own[start:end]]
            lines += [_signed("+ ", "bold $text-success", piece) for piece in ours[our_start:our_end]]
    return lines or [Content(_("Every token is the same."))]


def _signed(sign: str, style: str, piece: Piece) -> Content:
    return Content.assemble((sign, style), drawn_piece(piece))


def _cutoff(state: State) -> int | None:
    cutoff = state.plan.recipe.dataset.cutoff if state.plan is not None else None
    return cutoff if isinstance(cutoff, int) else None


def _own_encoder(state: State, encoder: Encoder) -> Encoder | tuple[str]:
    """The encoder of the tokenizer's own template, or why there is none."""
    from finetty.backend.conversation import load_encoder

    facts = state.known.model.facts
    if encoder.name == "own" or facts is None or facts.folder is None:
        return (_("The model is not known."),)
    try:
        return load_encoder(facts.folder, with_values(state.draft.recipe, {"template.name": "own"}))
    except Refusal as refusal:
        return (visible(translate(refusal.said)),)
