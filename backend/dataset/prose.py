"""Plain text for continued pretraining: passages of whole lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from finetty.backend.dataset.records import ADD_ROWS, EMPTY, Record
from finetty.backend.dataset.text_files import TextFile

ENDINGS = (".txt", ".text", ".md")
PASSAGE = 2000
"""Characters: about 500 tokens of English, below every usual cutoff, so that little has to be cut again."""


def is_prose(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(ENDINGS)


def from_prose(text: TextFile) -> Iterator[Record]:
    """Passages as objects with the column text; a passage's line is its first. Raises Refusal."""
    held: list[str] = []
    length, begins, found = 0, 1, False
    for number, line in text.lines():
        if held and length + len(line) > PASSAGE:
            yield _passage(held, begins)
            held, length = [], 0
        if not held and not line.strip():
            continue
        found = True
        begins = begins if held else number
        held.append(line)
        length += len(line) + 1
    if held:
        yield _passage(held, begins)
    if not found:
        text.refuse(EMPTY(), ADD_ROWS())


def _passage(lines: list[str], begins: int) -> Record:
    return Record({"text": "\n".join(lines).rstrip()}, begins)
