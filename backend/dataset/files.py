"""Files of rows: each record of a JSONL or JSON file with the line it stands on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from finetty.backend.messages import Message, Refusal, message

NO_FILE = message("dataset.no_file", "There is no file {path}.")
A_FOLDER = message("dataset.a_folder", "{path} is a folder, not a file of rows.")
UNREADABLE = message("dataset.unreadable", "The file {path} cannot be read: {reason}.")
EMPTY = message("dataset.empty", "The file is empty.")
BROKEN = message("dataset.broken", "This line is not valid JSON: {reason}.")
NOT_UTF8 = message("dataset.not_utf8", "This line is not UTF-8 text.")
LONG_LINE = message("dataset.long_line", "This line is longer than {megabytes} MB.")
NOT_A_LIST = message("dataset.not_a_list", "After the list of rows the file goes on.")
NAME_A_FILE = message("dataset.name_a_file", "Give the path of a JSONL or JSON file.")
CHECK_PATH = message("dataset.check_path", "Check the path in dataset.train; a relative one counts from the recipe.")
MEND_LINE = message("dataset.mend_line", "Mend the line or remove it.")
ADD_ROWS = message("dataset.add_rows", "A row is a JSON object, one on each line, or in one JSON list.")
SAVE_AS_UTF8 = message("dataset.save_as_utf8", "Save the file as UTF-8.")

LONGEST_LINE = 64 << 20
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Record:
    """One JSON value of a file and the line, 1-based, on which it begins."""

    value: Any
    line: int


def records(path: Path) -> Iterator[Record]:
    """The file's records in order. Raises Refusal, with the line, where the file cannot be read on."""
    try:
        with path.open("rb") as file:
            yield from _from_list(file, path) if _begins_a_list(file) else _from_lines(file, path)
    except FileNotFoundError:
        raise Refusal(NO_FILE(path=path), CHECK_PATH(), option="dataset.train") from None
    except IsADirectoryError:
        raise Refusal(A_FOLDER(path=path), NAME_A_FILE(), option="dataset.train") from None
    except OSError as error:
        reason = error.strerror or "unknown"
        raise Refusal(UNREADABLE(path=path, reason=reason), CHECK_PATH(), option="dataset.train") from None


def _begins_a_list(file: BinaryIO) -> bool:
    """Whether the first character that is no white space opens a list; the file is rewound behind its BOM."""
    start = len(_BOM) if file.read(len(_BOM)) == _BOM else 0
    file.seek(start)
    first = b" "
    while first and first.isspace():
        first = file.read(1)
    file.seek(start)
    return first == b"["


def _from_lines(file: BinaryIO, path: Path) -> Iterator[Record]:
    number, found = 0, False
    while raw := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            _refuse(LONG_LINE(megabytes=LONGEST_LINE >> 20), MEND_LINE(), path, number)
        if raw.strip():
            found = True
            yield Record(_parsed(_text(raw.rstrip(b"\r\n"), path, number), path, number), number)
    if not found:
        _refuse(EMPTY(), ADD_ROWS(), path)


def _text(raw: bytes, path: Path, line: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse(NOT_UTF8(), SAVE_AS_UTF8(), path, line + raw[: error.start].count(b"\n"))


def _parsed(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        _refuse(BROKEN(reason=_reason(error)), MEND_LINE(), path, line)


def _from_list(file: BinaryIO, path: Path) -> Iterator[Record]:
    """The items of one JSON list, decoded one by one so that each keeps its line."""
    text = _text(file.read(), path, 1)
    decoder = json.JSONDecoder()
    place, line, counted = text.index("[") + 1, 1, 0
    found = False
    while True:
        place = _after_space(text, place)
        line, counted = line + text.count("\n", counted, place), place
        if text.startswith("]", place) and not found:
            _refuse(EMPTY(), ADD_ROWS(), path)
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            at = getattr(error, "pos", place)
            _refuse(BROKEN(reason=_reason(error)), MEND_LINE(), path, line + text.count("\n", counted, at))
        yield Record(value, line)
        found = True
        place = _after_space(text, place)
        line, counted = line + text.count("\n", counted, place), place
        if text.startswith("]", place):
            break
        if not text.startswith(",", place):
            _refuse(BROKEN(reason="a comma or ] is missing"), MEND_LINE(), path, line)
        place += 1
    if text[place + 1 :].strip():
        _refuse(NOT_A_LIST(), MEND_LINE(), path, line)


def _after_space(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    return place


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        said = error.msg[:1].lower() + error.msg[1:]
        return f"{said} at column {error.colno}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else "a number in it is too long"


def _refuse(said: Message, fix: Message, path: Path, line: int | None = None) -> NoReturn:
    raise Refusal(said, fix, option="dataset.train", path=path, line=line)
