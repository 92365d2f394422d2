"""Files of rows: each record of a file with the line it stands on, whatever kind of file it is."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from finetty.backend.dataset import text_files
from finetty.backend.dataset.arrow_files import arrow_kind, from_arrow
from finetty.backend.dataset.prose import from_prose, is_prose
from finetty.backend.dataset.records import ADD_ROWS, EMPTY, Record
from finetty.backend.dataset.tables import from_table, is_table
from finetty.backend.dataset.text_files import MEND_LINE, TextFile
from finetty.backend.messages import Refusal, message

NO_FILE = message("dataset.no_file", "There is no file {path}.")
A_FOLDER = message("dataset.a_folder", "{path} is a folder, not a file of rows.")
NOT_A_FILE = message("dataset.not_a_file", "{path} is not a file.")
UNREADABLE = message("dataset.unreadable", "The file {path} cannot be read: {reason}.")
BROKEN = message("dataset.broken", "This line is not valid JSON: {reason}.")
NOT_A_LIST = message("dataset.not_a_list", "After the list of rows the file goes on.")
NAME_A_FILE = message("dataset.name_a_file", "Give the path of a JSONL, JSON, CSV, TSV, Parquet or Arrow file.")
CHECK_PATH = message("dataset.check_path", "Check the path in dataset.train; a relative one counts from the recipe.")

_DECODER = json.JSONDecoder()


class RowsFile:
    """A file's records. `plain` says that a text file is prose, whatever it begins with.

    `kind` and `encoding` are what was recognised, and sure once the file has been read.
    """

    def __init__(self, path: Path, *, plain: bool = False) -> None:
        self.path, self._plain = path, plain
        self.kind = ""
        self.compressed = False
        self._text: TextFile | None = None
        self._share = 0.0

    @property
    def encoding(self) -> str | None:
        return self._text.encoding if self._text else None

    @property
    def done(self) -> int:
        """Bytes of the file that have been read."""
        return self._text.done if self._text else int(self._share * self.path.stat().st_size)

    def records(self) -> Generator[Record]:
        """The records in order. Raises Refusal, with the line, where the file cannot be read on."""
        try:
            self._check()
            kind = arrow_kind(self.path)
            if kind is not None:
                self.kind = kind
                yield from from_arrow(self.path, kind, self._advance)
                return
            with TextFile(self.path) as text:
                self._text, self.compressed = text, text.compressed
                yield from self._from_text(text)
        except FileNotFoundError:
            raise Refusal(NO_FILE(path=self.path), CHECK_PATH(), option="dataset.train") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise Refusal(UNREADABLE(path=self.path, reason=reason), CHECK_PATH(), option="dataset.train") from None

    def _check(self) -> None:
        """Only a regular file has an end that is sure to come."""
        if self.path.is_dir():
            raise Refusal(A_FOLDER(path=self.path), NAME_A_FILE(), option="dataset.train")
        if self.path.exists() and not self.path.is_file():
            raise Refusal(NOT_A_FILE(path=self.path), NAME_A_FILE(), option="dataset.train")

    def _advance(self, share: float) -> None:
        self._share = share

    def _from_text(self, text: TextFile) -> Iterator[Record]:
        if is_table(self.path):
            self.kind = "table"
            return from_table(text)
        first = text.begins_with()
        if is_prose(self.path) and (self._plain or first not in ("[", "{", "")):
            self.kind = "text"
            return from_prose(text)
        if first == "[":
            self.kind = "json"
            return _from_list(text)
        self.kind = "jsonl"
        return _from_lines(text)


def _from_lines(text: TextFile) -> Iterator[Record]:
    found = False
    for number, line in text.lines():
        if line and not line.isspace():
            found = True
            yield Record(_parsed(line, text, number), number)
    if not found:
        text.refuse(EMPTY(), ADD_ROWS())


def _parsed(line: str, text: TextFile, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        text.refuse(BROKEN(reason=_reason(error)), MEND_LINE(), number)


def _from_list(text: TextFile) -> Iterator[Record]:
    """The items of one JSON list, decoded one by one so that each keeps its line and the list is never held whole."""
    window = _Window(text)
    window.sign()
    window.step()
    if window.sign() == "]":
        text.refuse(EMPTY(), ADD_ROWS())
    while True:
        window.sign()
        line = window.line
        yield Record(window.value(), line)
        sign = window.sign()
        if sign not in (",", "]"):
            text.refuse(BROKEN(reason="a comma or ] is missing"), MEND_LINE(), window.line)
        window.step()
        if sign == "]":
            break
    if window.sign():
        text.refuse(NOT_A_LIST(), MEND_LINE(), window.line)


class _Window:
    """The part of a long JSON text around the place that is being read, and the line of that place."""

    def __init__(self, text: TextFile) -> None:
        self._text, self._pieces = text, text.pieces()
        self._held, self._place, self._ended = "", 0, False
        self.line = 1

    def sign(self) -> str:
        """The next character that is no white space, gone to; empty at the end."""
        while True:
            place = self._place
            while place < len(self._held) and self._held[place] in " \t\r\n":
                place += 1
            self._go_to(place)
            if place < len(self._held):
                return self._held[place]
            if not self._more():
                return ""

    def step(self) -> None:
        self._place += 1

    def value(self) -> Any:
        """The JSON value that begins here, gone behind. Raises Refusal where it is broken or longer than a line."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._held, self._place)
            except (ValueError, RecursionError) as error:
                line = self.line + self._held.count("\n", self._place, getattr(error, "pos", self._place))
                long = len(self._held) - self._place > text_files.LONGEST_LINE
                if long or isinstance(error, RecursionError) or not self._more():
                    self._text.refuse(BROKEN(reason=_reason(error)), MEND_LINE(), line)
                continue
            # A number at the very end of what is held may go on.
            if end < len(self._held) or not self._more():
                self._go_to(end)
                return value

    def _go_to(self, place: int) -> None:
        self.line += self._held.count("\n", self._place, place)
        self._place = place

    def _more(self) -> bool:
        """At least twice as much of the text, or False at its end."""
        held = [self._held[self._place :]]
        wanted, got = max(1, len(held[0])), 0
        while got < wanted and not self._ended:
            piece = next(self._pieces, None)
            self._ended = piece is None
            held.append(piece or "")
            got += len(held[-1])
        self._held, self._place = "".join(held), 0
        return got > 0


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        said = error.msg[:1].lower() + error.msg[1:]
        return f"{said} at column {error.colno}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else "a number in it is too long"
