"""CSV and TSV: the first line names the columns, each record after it is a row."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from finetty.backend.dataset import text_files
from finetty.backend.dataset.records import ADD_ROWS, EMPTY, Record
from finetty.backend.dataset.text_files import MEND_LINE, TextFile
from finetty.backend.messages import message

ANOTHER_WIDTH = message("dataset.another_width", "The row has {found} cells where the first line names {named}.")
BROKEN_TABLE = message("dataset.broken_table", "The table cannot be read from this line on: {reason}.")
SAME_NAME = message("dataset.same_name", "Two columns have the same name.")
NAME_APART = message("dataset.name_apart", "Give each column of the first line a name of its own.")

ENDINGS = (".csv", ".tsv")
SEPARATORS = ",\t;|"


def is_table(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(ENDINGS)


def from_table(text: TextFile) -> Iterator[Record]:
    """The rows as objects, by the names in the first line; a row's line is that on which it begins. Raises Refusal."""
    csv.field_size_limit(text_files.LONGEST_LINE)
    lines = (line + "\n" for _, line in text.lines())
    first = next(lines, "")
    while first and not first.strip():
        first = next(lines, "")
    reader = csv.reader(_again(first, lines), delimiter=_separator(first), strict=True)
    names, found = None, False
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            text.refuse(BROKEN_TABLE(reason=str(error)), MEND_LINE(), line)
        if cells is None:
            break
        if names is None:
            names = [name.strip() for name in cells]
            if len(set(names)) < len(names):
                text.refuse(SAME_NAME(), NAME_APART(), line)
        elif cells:
            found = True
            problem = None if len(cells) == len(names) else ANOTHER_WIDTH(found=len(cells), named=len(names))
            yield Record(None if problem else dict(zip(names, cells, strict=True)), line, problem)
    if not found:
        text.refuse(EMPTY(), ADD_ROWS())


def _again(first: str, lines: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from lines


def _separator(first: str) -> str:
    """What separates the names of the first line: of the usual signs the most frequent outside quotation marks."""
    outside = "".join(first.split('"')[::2])
    return max(SEPARATORS, key=outside.count)
