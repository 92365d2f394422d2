"""What the list of models is narrowed to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """Words of a name, a tag, and only what fits this machine."""

    words: str = ""
    tag: str | None = None
    fits: bool = False
