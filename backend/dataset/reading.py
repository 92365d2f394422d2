"""read_rows(): the recipe's files as rows, with what was refused and why, and duplicates removed."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from finetty.backend.conversation.rows import Row
from finetty.backend.dataset.facts import Refused
from finetty.backend.dataset.files import RowsFile
from finetty.backend.dataset.formats import (
    EMPTY_ANSWER,
    EMPTY_QUESTION,
    EMPTY_TEXT,
    Format,
    Unusable,
    read_record,
)
from finetty.backend.dataset.kept import KeptRows, RowStore
from finetty.backend.dataset.mixing import Stretch, mixed
from finetty.backend.dataset.places import Part, parts_of
from finetty.backend.dataset.recognition import SAMPLE_ROWS, recognise
from finetty.backend.dataset.records import Record, shown
from finetty.backend.messages import Message, Refusal, message
from finetty.backend.recipe import DataFile, Recipe

NO_DATA = message("dataset.no_data", "The recipe names no file to learn from.")
ADD_FILE = message("dataset.add_file", "Add one: dataset: {{train: [{{path: rows.jsonl}}]}}.")
NOTHING_USABLE = message("dataset.nothing_usable", "None of the {count} rows can be used.")
ALL_THE_SAME = message("dataset.all_the_same", "All {count} rows are the same, so there is nothing to learn from them.")
EMPTY_COLUMN = message("dataset.empty_column", "The column {column} is empty in all {count} rows.")
CHECK_COLUMNS = message("dataset.check_columns", "Fill it, or name another column in dataset.train.")
OTHER_ROWS = message("dataset.other_rows", "Give rows that differ.")
BROKEN_TEXT = message("dataset.broken_text", "The row holds half of a character, which no tokenizer reads.")


FIRST_LOOK_ROWS = 500
SECONDS_BETWEEN_REPORTS = 0.2


@dataclass(frozen=True)
class Progress:
    """How far the reading or measuring is: `done` of `total`, both in the same unit (bytes of files, or rows)."""

    done: int
    total: int
    rows: int

    @property
    def share(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 1.0


Report = Callable[[Progress], None]
"""Told how far it is, a few times a second, from the thread that reads; what it raises ends the reading."""


@dataclass
class Rows:
    """What the recipe's files hold. Of the refused rows only the first of each kind is kept, with its count."""

    rows: Sequence[Row] = ()
    """Rows to learn from. They are read again, from where they were put aside, each time they are asked for."""
    refused: list[Refused] = field(default_factory=list)
    refused_count: int = 0
    duplicates: int = 0
    formats: dict[str, str] = field(default_factory=dict)
    """File → format."""
    recognised: dict[str, Format] = field(default_factory=dict)
    """File → format, its columns, and how sure."""
    encodings: dict[str, str] = field(default_factory=dict)
    """File → the encoding of its text, where it is one that was recognised."""
    sha256: str = ""
    read: int = 0
    """Records found in the files, used or not."""
    seed: int = 0
    """That of the recipe that they were read for."""
    whole: bool = True
    """False where only the first rows of each file were looked at."""


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


def read_rows(recipe: Recipe, report: Report | None = None, *, download: bool = False) -> Rows:
    """The rows to learn from. Raises Refusal: no file, an empty or broken one (with its line), nothing usable.

    `report` is told how far the reading is; with `download` a dataset of the Hub that is not here is brought first.
    """
    if download:
        for file in recipe.dataset.train:
            parts_of(file, download=True)
    return _read(_train_files(recipe), recipe.training.seed, report)


def first_look(recipe: Recipe, rows: int = FIRST_LOOK_ROWS) -> Rows:
    """The same of the first `rows` records of each file alone, at once however long the files are.

    Its `whole` is False unless the files end there. Raises Refusal as `read_rows` does, of what it sees.
    """
    return _read(_train_files(recipe), recipe.training.seed, None, rows)


def read_validation(recipe: Recipe) -> Rows | None:
    """The rows of the recipe's validation file; None where validation rows come from the training files.

    Raises Refusal as `read_rows` does.
    """
    path = recipe.dataset.validation
    if not isinstance(path, str) or path == "auto":
        return None
    try:
        return _read([DataFile(path=path)], 0)
    except Refusal as refusal:
        where = "dataset.validation"
        raise Refusal(refusal.said, refusal.fix, option=where, path=refusal.path, line=refusal.line) from None


def _train_files(recipe: Recipe) -> Sequence[DataFile]:
    if not recipe.dataset.train:
        raise Refusal(NO_DATA(), ADD_FILE(), option="dataset.train")
    return recipe.dataset.train


_WRITER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def fingerprint(row: Row) -> bytes:
    """16 bytes that two rows share only if they say the same. Raises UnicodeEncodeError on broken text."""
    said = [[turn.role, turn.content, turn.reasoning, turn.tool_calls, turn.name] for turn in row.turns]
    return hashlib.sha256(_WRITER.encode([said, row.tools]).encode()).digest()[:16]


class Reporter:
    """Passes progress on, but not more often than it is worth."""

    def __init__(self, report: Report | None, total: int) -> None:
        self._report, self._total, self._next = report, total, 0.0

    def at(self, done: int, rows: int, *, end: bool = False) -> None:
        if self._report is not None and (end or time.monotonic() >= self._next):
            self._report(Progress(self._total if end else done, self._total, rows))
            self._next = time.monotonic() + SECONDS_BETWEEN_REPORTS


class _Reading:
    """One reading of some files: what was found so far, and what was seen already."""

    def __init__(self, files: Sequence[DataFile], seed: int, report: Report | None, most: int | None) -> None:
        self.entries = [(file.weight, parts_of(file)) for file in files]
        self.seed, self.most = seed, most
        self.rows, self.refusals, self.store = Rows(seed=seed), Refusals(), RowStore()
        self.seen: set[bytes] = set()
        self.done_before = 0
        self.reporter = Reporter(report, sum(_size(part) for _, parts in self.entries for part in parts))

    def carried_out(self) -> Rows:
        stretches = []
        for weight, parts in self.entries:
            start = len(self.store)
            for part in parts:
                for row in self._rows_of(part):
                    self._take(row)
                self.done_before += _size(part)
            stretches.append(Stretch(start, len(self.store), weight))
        self.reporter.at(0, len(self.store), end=True)
        found, digest = self.rows, hashlib.sha256()
        kept = KeptRows(self.store, mixed(stretches, self.store.mark, self.seed))
        for mark in kept.marks():
            digest.update(mark)
        found.rows, found.sha256 = kept, digest.hexdigest()
        found.refused, found.refused_count = self.refusals.kinds(), self.refusals.count
        _check(found)
        return found

    def _take(self, row: Row) -> None:
        try:
            mark = fingerprint(row)
        except UnicodeEncodeError:
            self.refusals.add(row.source, row.line, BROKEN_TEXT())
            return
        if mark in self.seen:
            self.rows.duplicates += 1
            return
        self.seen.add(mark)
        self.store.append(row, mark)

    def _rows_of(self, part: Part) -> Iterator[Row]:
        source = RowsFile(part.path, plain=part.format == "text")
        found = source.records()
        sample = list(islice(found, SAMPLE_ROWS))
        form = format_of(part, sample)
        self.rows.formats[part.name], self.rows.recognised[part.name] = form.name, form
        for number, record in enumerate(chain(sample, found)):
            if number == self.most:
                self.rows.whole = False
                found.close()
                break
            self.rows.read += 1
            self.reporter.at(self.done_before + source.done, self.rows.read)
            try:
                if record.problem is not None:
                    raise Unusable(record.problem)
                turns, tools = read_record(record.value, form)
            except Unusable as unusable:
                self.refusals.add(part.name, record.line, unusable.reason)
            else:
                yield Row(turns, part.name, record.line, tools)
        if source.encoding is not None:
            self.rows.encodings[part.name] = "utf-8" if source.encoding == "ascii" else source.encoding


def _read(files: Sequence[DataFile], seed: int, report: Report | None = None, most: int | None = None) -> Rows:
    return _Reading(files, seed, report, most).carried_out()


def _size(part: Part) -> int:
    try:
        return part.path.stat().st_size
    except (OSError, ValueError):
        return 0


def format_of(part: Part, sample: Sequence[Record]) -> Format:
    """The file's format; a file without a single object has none, and its rows are refused.

    Raises Refusal as `recognise` does.
    """
    values: list[Any] = [record.value for record in sample]
    try:
        form = recognise(values, part.format, part.columns)
        return replace(form, tags={**part.tags, **form.tags})
    except Unusable:
        return Format("messages", {})
    except Refusal as refusal:
        raise Refusal(refusal.said, refusal.fix, option="dataset.train", path=part.path) from None


def _check(rows: Rows) -> None:
    """Degenerate data. Raises Refusal: no row can be used, one column is empty throughout, or all rows are the same."""
    if not rows.whole:
        return
    if not rows.rows:
        raise nothing_usable(rows.refused, rows.refused_count, rows.recognised)
    if rows.duplicates and rows.read - rows.refused_count - rows.duplicates == 1:
        raise Refusal(ALL_THE_SAME(count=rows.duplicates + 1), OTHER_ROWS(), option="dataset.train")


def nothing_usable(kinds: Sequence[Refused], count: int, recognised: Mapping[str, Format]) -> Refusal:
    """That none of so many rows can be used, with the first reason, or the column that is empty in all of them."""
    first = kinds[0]
    form = recognised.get(first.path)
    column = form and form.column(_EMPTY_PARTS.get((form.name, first.reason.id), ""))
    said = NOTHING_USABLE(count=count)
    if column and len(kinds) == 1:
        said = EMPTY_COLUMN(column=shown(column), count=count)
        return Refusal(said, CHECK_COLUMNS(), option="dataset.train", path=Path(first.path), line=first.line)
    return Refusal(said, first.reason, option="dataset.train", path=Path(first.path), line=first.line)


_EMPTY_PARTS = {
    ("alpaca", EMPTY_ANSWER.id): "output",
    ("alpaca", EMPTY_QUESTION.id): "instruction",
    ("prompt_completion", EMPTY_ANSWER.id): "completion",
    ("prompt_completion", EMPTY_QUESTION.id): "prompt",
    ("text", EMPTY_TEXT.id): "text",
}
