"""What plan() needs to know of the data: how many rows, how long, and how much of them is learned."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class DataFacts:
    """Counts after reading, mapping and encoding. `lengths` are tokens a row, whole, before any cutoff.

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

    @property
    def longest(self) -> int | None:
        return max(self.lengths, default=None)
