"""What plan() needs to know of the data: how many rows, how long, and how much of them is learned."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    identical_answers: int = 0
    """How many rows share the most frequent answer."""

    texts: tuple[int, ...] = ()
    """Of the lengths, those of plain texts: beyond the cutoff a text goes on in a sequence of its own."""
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

    @property
    def sequences(self) -> int:
        return len(self.lengths) if self.measured else self.rows

    def sequences_at(self, cutoff: int) -> int:
        """How many sequences there are once texts longer than the cutoff are several."""
        return self.sequences + sum((length - 1) // cutoff for length in self.texts)

    def cut_at(self, cutoff: int) -> int:
        """How many rows lose something at this cutoff; texts never do."""
        longer = sum(length > cutoff for length in self.lengths)
        return longer - sum(length > cutoff for length in self.texts)

    def tokens_at(self, cutoff: int) -> int:
        """Tokens that are left at this cutoff."""
        kept = sum(min(length, cutoff) for length in self.lengths)
        return kept + sum(max(0, length - cutoff) for length in self.texts)

    @property
    def longest(self) -> int | None:
        return max(self.lengths, default=None)
