"""What plan() needs to know of the data: how many rows, how long, and how much of them is learned."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from finetty.backend.dataset.blocks import best_fit, cut_texts
from finetty.backend.messages import Finding, Message


@dataclass(frozen=True)
class Refused:
    """The first row of a kind that cannot be used: where it stands and why; `count` are all of its kind."""

    path: str
    line: int | None
    reason: Message
    count: int = 1


@dataclass(frozen=True)
class DataFacts:
    """Counts after reading, mapping and encoding. `lengths` are tokens a training sequence, whole, before any cutoff.

    A row is one sequence, or one an answer where the template cannot show a conversation whole (`sequences`).
    Until the rows are encoded `lengths` is empty and `measured` False; plan() then takes the cutoff as upper bound.
    """

    rows: int
    """Rows that can be used, duplicates removed."""
    refused: int = 0
    duplicates: int = 0
    lengths: tuple[int, ...] = ()
    trained_tokens: int = 0
    measured: bool = False
    formats: dict[str, str] = field(default_factory=dict)
    """File → recognised format."""
    sha256: str = ""
    """Of the rows that are used, in order: the same data has the same hash."""
    validation_rows: int | None = None
    """Usable rows of the validation file; None where the recipe names none."""
    identical_answers: int = 0
    """How many rows share the most frequent answer."""

    texts: tuple[int, ...] = ()
    """Of the lengths, those of plain texts: beyond the cutoff a text goes on in a sequence of its own."""
    answers: Sequence[int] = ()
    """Tokens of the last answer of each sequence but texts, where answers alone are learned."""
    held_out_order: Sequence[int] = ()
    """Where all rows are texts: their places in the order in which they are kept back; empty where it is not known."""
    turns: int = 0
    """Messages in all rows."""
    reasoning_rows: int = 0
    """Rows whose answers bring their reasoning."""
    tool_rows: int = 0
    """Rows that offer or call tools."""
    left_out: tuple[Refused, ...] = ()
    """What the template cannot write; these rows are counted in `refused`."""
    template: str = ""
    """The template that the rows were measured with, and why it was taken."""
    template_reason: Message | None = None
    template_findings: tuple[Finding, ...] = ()
    template_date: str | None = None
    """The date that the template was made to write, for one that asks for today's."""

    @property
    def sequences(self) -> int:
        return len(self.lengths) if self.measured else self.rows

    def sequences_at(self, cutoff: int) -> int:
        """How many sequences there are once texts longer than the cutoff are several."""
        if cutoff not in self._further:
            self._further[cutoff] = sum((length - 1) // cutoff for length in self.texts)
        return self.sequences + self._further[cutoff]

    @property
    def only_texts(self) -> bool:
        """Whether it is all for pretraining, so that texts can share sequences."""
        return self.measured and bool(self.texts) and len(self.texts) == len(self.lengths)

    def blocks_at(self, cutoff: int, kept_back: int = 0) -> int:
        """How many sequences of this length the texts fill once so many rows are kept back."""
        known = (cutoff, kept_back)
        if known not in self._blocks:
            left = self.texts
            if kept_back and self.held_out_order:
                gone = set(self.held_out_order[:kept_back])
                left = tuple(length for place, length in enumerate(self.texts) if place not in gone)
            count = len(best_fit(cut_texts(left, cutoff), cutoff))
            if kept_back and not self.held_out_order:
                count = max(1, round(count * (self.rows - kept_back) / self.rows))
            self._blocks[known] = count
        return self._blocks[known]

    def cut_at(self, cutoff: int) -> int:
        """How many rows lose something at this cutoff; texts never do."""
        return self._lengths.longer(cutoff)[0] - self._texts.longer(cutoff)[0]

    def left_out_at(self, cutoff: int) -> int:
        """How many sequences have an answer that alone is longer: nothing is left of them at this cutoff."""
        return self._answers.longer(cutoff)[0]

    def tokens_at(self, cutoff: int) -> int:
        """Tokens that are left at this cutoff."""
        return self._lengths.total - self._lengths.longer(cutoff)[1] + self._texts.longer(cutoff)[1]

    @cached_property
    def longest(self) -> int | None:
        return max(self.lengths, default=None)

    @cached_property
    def _lengths(self) -> _Sorted:
        return _Sorted(self.lengths)

    @cached_property
    def _answers(self) -> _Sorted:
        return _Sorted(self.answers)

    @cached_property
    def _texts(self) -> _Sorted:
        return _Sorted(self.texts)

    @cached_property
    def _blocks(self) -> dict[tuple[int, int], int]:
        """Cutoff and rows kept back → sequences that the texts fill."""
        return {}

    @cached_property
    def _further(self) -> dict[int, int]:
        """Cutoff → sequences that its long texts add; asked again with every keystroke."""
        return {}


class _Sorted:
    """Lengths in order with their sums, so that a million of them are asked about a cutoff in no time."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self._ordered = sorted(lengths)
        self._sums = [0, *accumulate(self._ordered)]

    @property
    def total(self) -> int:
        return self._sums[-1]

    def longer(self, cutoff: int) -> tuple[int, int]:
        """How many are longer, and by how many tokens together."""
        place = bisect_right(self._ordered, cutoff)
        count = len(self._ordered) - place
        return count, self._sums[-1] - self._sums[place] - count * cutoff
