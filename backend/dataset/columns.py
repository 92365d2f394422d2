"""A file's columns as a person is asked about them: their first values, and what a row becomes under an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from finetty.backend.conversation.rows import Row
from finetty.backend.dataset.files import RowsFile
from finetty.backend.dataset.formats import Columns, Format, Unusable, as_list, read_record
from finetty.backend.dataset.places import Part, parts_of
from finetty.backend.dataset.reading import EMPTY_COLUMN, NOTHING_USABLE, format_of
from finetty.backend.dataset.recognition import NO_SUCH_COLUMN, NO_SUCH_PART, SAMPLE_ROWS, UNRECOGNISED
from finetty.backend.dataset.records import Record
from finetty.backend.messages import Message, Refusal
from finetty.backend.recipe import DataFile

LONGEST_VALUE = 400
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Example:
    """What a record becomes: the format it was read in, and its row or why there is none."""

    form: Format | None
    row: Row | None = None
    problem: Message | None = None


@dataclass(frozen=True)
class Sample:
    """The first records of the first file behind an entry of the recipe."""

    part: Part
    """As the file says it itself, without the recipe's answers."""
    records: tuple[Record, ...]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Every column that one of the records has, in the order in which they are met."""
        return tuple(dict.fromkeys(key for record in self._objects for key in record))

    def values(self, column: str, start: int = 0) -> Iterator[str]:
        """The column's values from a record on, as texts; records without it are passed over."""
        for record in self.records[start:]:
            if isinstance(record.value, dict) and column in record.value:
                value = record.value[column]
                text = value[:LONGEST_VALUE] if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                yield text[:LONGEST_VALUE]

    def choices(self, part: str, columns: Columns) -> tuple[str, ...]:
        """What a part can be called: columns, or what is found inside of the messages."""
        if part in ("role", "content"):
            return tuple(dict.fromkeys(key for said in self._messages(columns) for key in said))
        if part in ("user", "assistant"):
            keys = (columns.get("role"), "role", "from", "speaker")
            speakers = (said[key] for said in self._messages(columns) for key in keys if key in said)
            return tuple(dict.fromkeys(name for name in speakers if isinstance(name, str)))
        return self.columns

    def example(self, number: int, file: DataFile) -> Example:
        """The record with this number, from 0, as the entry's format and columns have it read."""
        asked = file.format != "auto" or file.columns
        part = Part(self.part.path, self.part.name, file.format, file.columns) if asked else self.part
        try:
            form = format_of(part, self.records)
        except Refusal as refusal:
            return Example(None, problem=refusal.said)
        if number >= len(self.records):
            return Example(form)
        record = self.records[number]
        if record.problem is not None:
            return Example(form, problem=record.problem)
        try:
            turns, tools = read_record(record.value, form)
        except Unusable as unusable:
            return Example(form, problem=unusable.reason)
        return Example(form, Row(turns, part.name, record.line, tools))

    @property
    def _objects(self) -> Iterator[dict[str, Any]]:
        return (record.value for record in self.records if isinstance(record.value, dict))

    def _messages(self, columns: Columns) -> Iterator[dict[str, Any]]:
        form = Format("messages", columns)
        for record in self._objects:
            said = as_list(form.value(record, "messages"))
            yield from (one for one in said if isinstance(one, dict)) if isinstance(said, list) else ()


def sample_of(file: DataFile) -> Sample:
    """The first records behind an entry. Raises Refusal where it cannot be read."""
    part = parts_of(DataFile(path=file.path))[0]
    records = RowsFile(part.path, plain=file.format == "text").records()
    try:
        return Sample(part, tuple(islice(records, SAMPLE_ROWS)))
    finally:
        records.close()


def about_columns(said: Message) -> bool:
    """Whether a refusal is one that naming the columns may mend."""
    kinds = (UNRECOGNISED, NO_SUCH_COLUMN, NO_SUCH_PART, EMPTY_COLUMN, NOTHING_USABLE)
    return said.id in {kind.id for kind in kinds}
