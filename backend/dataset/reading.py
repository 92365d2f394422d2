"""read_rows(): the recipe's files as rows, with what was refused and why, and duplicates removed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from finetty.backend.conversation.rows import Row
from finetty.backend.dataset.facts import Refused
from finetty.backend.dataset.files import Record, records
from finetty.backend.dataset.formats import SAMPLE_ROWS, Format, Unusable, read_record, recognise
from finetty.backend.messages import Message, Refusal, message
from finetty.backend.recipe import DataFile, Recipe

NO_DATA = message("dataset.no_data", "The recipe names no file to learn from.")
ADD_FILE = message("dataset.add_file", "Add one: dataset: {{train: [{{path: rows.jsonl}}]}}.")
NOTHING_USABLE = message("dataset.nothing_usable", "None of the {count} rows can be used.")
ALL_THE_SAME = message("dataset.all_the_same", "All {count} rows are the same, so there is nothing to learn from them.")
OTHER_ROWS = message("dataset.other_rows", "Give rows that differ.")
BROKEN_TEXT = message("dataset.broken_text", "The row holds half of a character, which no tokenizer reads.")


@dataclass
class Rows:
    """What the recipe's files hold. Of the refused rows only the first of each kind is kept, with its count."""

    rows: list[Row] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    refused_count: int = 0
    duplicates: int = 0
    formats: dict[str, str] = field(default_factory=dict)
    """File → format."""
    recognised: dict[str, Format] = field(default_factory=dict)
    """File → format, its columns, and how sure."""
    sha256: str = ""

    @property
    def read(self) -> int:
        return len(self.rows) + self.refused_count + self.duplicates


class Refusals:
    """Counts rows that cannot be used and keeps the first of each kind, so that a million of them cost nothing."""

    def __init__(self) -> None:
        self.count = 0
        self._first: dict[tuple[str, str], Refused] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, path: str, line: int | None, reason: Message) -> None:
        self.count += 1
        kind = path, reason.id
        self._counts[kind] += 1
        if kind not in self._first:
            self._first[kind] = Refused(path, line, reason)

    def kinds(self) -> list[Refused]:
        return [replace(first, count=self._counts[kind]) for kind, first in self._first.items()]


def read_rows(recipe: Recipe) -> Rows:
    """The rows to learn from. Raises Refusal: no file, an empty or broken one (with its line), nothing usable."""
    if not recipe.dataset.train:
        raise Refusal(NO_DATA(), ADD_FILE(), option="dataset.train")
    return _read(recipe.dataset.train)


def read_validation(recipe: Recipe) -> Rows | None:
    """The rows of the recipe's validation file; None where validation rows come from the training files."""
    path = recipe.dataset.validation
    return _read([DataFile(path=path)]) if isinstance(path, str) and path != "auto" else None


_WRITER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def fingerprint(row: Row) -> bytes:
    """16 bytes that two rows share only if they say the same. Raises UnicodeEncodeError on broken text."""
    said = [[turn.role, turn.content, turn.reasoning, turn.tool_calls, turn.name] for turn in row.turns]
    return hashlib.sha256(_WRITER.encode([said, row.tools]).encode()).digest()[:16]


def _read(files: Sequence[DataFile]) -> Rows:
    rows, refusals, seen = Rows(), Refusals(), set[bytes]()
    digest = hashlib.sha256()
    for file in files:
        for row in _rows_of(file, rows, refusals):
            try:
                mark = fingerprint(row)
            except UnicodeEncodeError:
                refusals.add(row.source, row.line, BROKEN_TEXT())
                continue
            if mark in seen:
                rows.duplicates += 1
                continue
            seen.add(mark)
            digest.update(mark)
            rows.rows.append(row)
    rows.refused, rows.refused_count, rows.sha256 = refusals.kinds(), refusals.count, digest.hexdigest()
    _check(rows)
    return rows


def _rows_of(file: DataFile, rows: Rows, refusals: Refusals) -> Iterator[Row]:
    path = Path(file.path).expanduser()
    found = records(path)
    sample = list(islice(found, SAMPLE_ROWS))
    form = _format(file, path, sample, refusals)
    if form is None:
        return
    rows.formats[file.path], rows.recognised[file.path] = form.name, form
    for record in chain(sample, found):
        try:
            turns, tools = read_record(record.value, form)
        except Unusable as unusable:
            refusals.add(file.path, record.line, unusable.reason)
        else:
            yield Row(turns, file.path, record.line, tools)


def _format(file: DataFile, path: Path, sample: list[Record], refusals: Refusals) -> Format | None:
    """The file's format; a file without a single object has none, and its rows are refused."""
    values: list[Any] = [record.value for record in sample]
    try:
        return recognise(values, file.format, file.columns)
    except Unusable:
        return Format("messages", {})
    except Refusal as refusal:
        raise Refusal(refusal.said, refusal.fix, option="dataset.train", path=path) from None


def _check(rows: Rows) -> None:
    if not rows.rows:
        first = rows.refused[0]
        said = NOTHING_USABLE(count=rows.refused_count)
        raise Refusal(said, first.reason, option="dataset.train", path=Path(first.path), line=first.line)
    if rows.duplicates and len(rows.rows) == 1:
        raise Refusal(ALL_THE_SAME(count=rows.duplicates + 1), OTHER_ROWS(), option="dataset.train")
